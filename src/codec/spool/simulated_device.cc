#include "ebbgate/spool/simulated_storage.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace ebbgate::spool {

void simulated_device::write(
    file_id file, std::uint64_t offset, const char* data, std::size_t bytes, completion& done) {
    queue_.push_back({kind::write, file, offset, const_cast<char*>(data), bytes, &done});
}

void simulated_device::write_durable(
    file_id file, std::uint64_t offset, const char* data, std::size_t bytes, completion& done) {
    queue_.push_back({kind::write_durable, file, offset, const_cast<char*>(data), bytes, &done});
}

void simulated_device::sync(file_id file, completion& done) {
    queue_.push_back({kind::sync, file, 0, nullptr, 0, &done});
}

void simulated_device::read(
    file_id file, std::uint64_t offset, char* data, std::size_t bytes, completion& done) {
    queue_.push_back({kind::read, file, offset, data, bytes, &done});
}

void simulated_device::run(operation& todo) {
    switch (todo.what) {
    case kind::write:
        todo.outcome = disk_->write(todo.file, todo.offset, {todo.data, todo.bytes}, false);
        break;
    case kind::write_durable:
        todo.outcome = disk_->write(todo.file, todo.offset, {todo.data, todo.bytes}, true);
        break;
    case kind::sync:
        todo.outcome = disk_->sync(todo.file);
        break;
    case kind::read:
        todo.outcome = disk_->read(todo.file, todo.offset, todo.data, todo.bytes);
        break;
    }
}

std::size_t simulated_device::poll() {
    std::size_t count = queue_.size();
    for (std::size_t index = 0; index < count; ++index) {
        run_one();
    }
    count = ran_.size();
    for (std::size_t index = 0; index < count; ++index) {
        complete_one();
    }
    return count;
}

void simulated_device::begin_one() {
    if (queue_.empty()) {
        return;
    }
    const operation& todo = queue_.front();
    simulated_disk::inode* inode = disk_->find(todo.file);
    if (inode != nullptr && (todo.what == kind::write || todo.what == kind::write_durable)) {
        disk_->put_pending(*inode, todo.offset, {todo.data, todo.bytes});
    }
}

bool simulated_device::run_one() {
    if (queue_.empty()) {
        return false;
    }
    operation todo = queue_.front();
    queue_.pop_front();
    run(todo);
    ran_.push_back(todo);
    return true;
}

bool simulated_device::complete_one() {
    if (ran_.empty()) {
        return false;
    }
    const operation done = ran_.front();
    ran_.pop_front();
    done.done->on_complete(*done.done, done.outcome);
    return true;
}

} // namespace ebbgate::spool
