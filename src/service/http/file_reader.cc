#include "service/http/file_reader.h"

#include <algorithm>
#include <utility>

namespace ebbgate::http {

file_reader::file_reader(task::reactor& reactor,
                         std::shared_ptr<const file_body> file,
                         file_reader_observer& observer)
    : reactor_(reactor), file_(std::move(file)), observer_(&observer),
      buffer_(new char[std::min<std::uint64_t>(block_bytes, file_->bytes())]), at_(file_->offset()),
      left_(file_->bytes()) {
    read_.owner = this;
    read_.on_complete = &file_reader::on_read;
}

void file_reader::read_next() {
    block_bytes_ = 0;
    reactor_.io().read(read_,
                       file_->descriptor(),
                       buffer_.get(),
                       static_cast<std::uint32_t>(std::min<std::uint64_t>(block_bytes, left_)),
                       at_);
}

void file_reader::on_read(ring::operation& operation, std::int32_t result, std::uint32_t) noexcept {
    file_reader& self = *static_cast<read_operation&>(operation).owner;
    if (self.observer_ == nullptr) {
        delete &self;
        return;
    }
    if (result <= 0) {
        self.observer_->on_read_failed();
        return;
    }
    self.block_bytes_ = static_cast<std::size_t>(result);
    self.at_ += self.block_bytes_;
    self.left_ -= self.block_bytes_;
    self.observer_->on_block();
}

void file_reader::abandon() noexcept {
    observer_ = nullptr;
    if (!read_.in_flight()) {
        delete this;
    }
}

} // namespace ebbgate::http
