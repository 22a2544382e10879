#include "ebbgate/spool/storage.h"

#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

namespace ebbgate::spool {

aligned_buffer::aligned_buffer(std::size_t bytes) {
    bytes_ = (bytes + block_bytes - 1) / block_bytes * block_bytes;
    data_ = static_cast<char*>(std::aligned_alloc(block_bytes, bytes_));
    if (data_ == nullptr) {
        throw std::bad_alloc();
    }
    std::memset(data_, 0, bytes_);
}

aligned_buffer::aligned_buffer(aligned_buffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

aligned_buffer& aligned_buffer::operator=(aligned_buffer&& other) noexcept {
    if (this != &other) {
        std::free(data_);
        data_ = std::exchange(other.data_, nullptr);
        bytes_ = std::exchange(other.bytes_, 0);
    }
    return *this;
}

aligned_buffer::~aligned_buffer() {
    std::free(data_);
}

} // namespace ebbgate::spool
