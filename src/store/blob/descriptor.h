// A file descriptor that is closed with its owner.
//
// Owner   Whoever holds it; not shared.
// Fails   Never: what close() says is of no use, files are synced before.

#pragma once

#include <unistd.h>
#include <utility>

namespace ebbgate::blob {

class descriptor {
public:
    explicit descriptor(int number = -1) noexcept : number_(number) {}

    descriptor(descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}

    descriptor& operator=(descriptor&& other) noexcept {
        std::swap(number_, other.number_);
        return *this;
    }

    ~descriptor() {
        if (number_ >= 0) {
            ::close(number_);
        }
    }

    [[nodiscard]] int number() const noexcept { return number_; }

    [[nodiscard]] bool is_open() const noexcept { return number_ >= 0; }

    [[nodiscard]] int release() noexcept { return std::exchange(number_, -1); }

private:
    int number_;
};

} // namespace ebbgate::blob
