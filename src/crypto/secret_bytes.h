// Bytes that are wiped before their memory is given back: private keys, and text that holds one.

#pragma once

#include "ebbgate/base/bytes.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

namespace ebbgate::crypto {

class secret_bytes {
public:
    secret_bytes() = default;

    explicit secret_bytes(std::size_t size) : bytes_(size) {}

    explicit secret_bytes(byte_view bytes)
        : bytes_(reinterpret_cast<const std::uint8_t*>(bytes.data()),
                 reinterpret_cast<const std::uint8_t*>(bytes.data()) + bytes.size()) {}

    secret_bytes(secret_bytes&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

    secret_bytes& operator=(secret_bytes&& other) noexcept {
        if (this != &other) {
            wipe();
            bytes_ = std::exchange(other.bytes_, {});
        }
        return *this;
    }

    ~secret_bytes() { wipe(); }

    // Never grows: what was left behind would not be wiped.
    void shrink(std::size_t size) {
        if (size < bytes_.size()) {
            explicit_bzero(bytes_.data() + size, bytes_.size() - size);
            bytes_.resize(size);
        }
    }

    [[nodiscard]] std::uint8_t* data() noexcept { return bytes_.data(); }

    [[nodiscard]] const std::uint8_t* data() const noexcept { return bytes_.data(); }

    [[nodiscard]] std::size_t size() const noexcept { return bytes_.size(); }

    [[nodiscard]] byte_view view() const noexcept {
        return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
    }

private:
    void wipe() noexcept {
        if (!bytes_.empty()) {
            explicit_bzero(bytes_.data(), bytes_.size());
        }
    }

    std::vector<std::uint8_t> bytes_;
};

} // namespace ebbgate::crypto
