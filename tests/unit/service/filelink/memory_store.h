// A store of links in memory, for the site's tests: it serves, fails on request, and counts.

#pragma once

#include "store/blob/blob_store.h"

#include <sys/mman.h>

#include <map>
#include <string>
#include <unistd.h>

namespace ebbgate::filelink {

class memory_store final : public blob::blob_store {
public:
    void put(blob::link link, std::string content) {
        link.bytes = content.size();
        contents_[link.token] = std::move(content);
        links_[link.token] = std::move(link);
    }

    blob::link& at(const std::string& token) { return links_.at(token); }

    int finds = 0;
    bool fails = false;

    result<int> create_temporary() override { return unused(); }

    result<void> publish(int, const blob::link&) override {
        return std::unexpected(unused().error());
    }

    void withdraw(std::string_view) noexcept override {}

    result<std::optional<blob::link>> find(std::string_view token) override {
        ++finds;
        if (fails) {
            return std::unexpected(unused().error());
        }
        const auto found = links_.find(std::string(token));
        return found == links_.end() ? std::nullopt : std::optional(found->second);
    }

    result<int> open_content(const blob::link& of) override {
        const auto found = contents_.find(of.token);
        if (found == contents_.end()) {
            return unused();
        }
        const int fd = memfd_create("content", MFD_CLOEXEC);
        const ssize_t count = write(fd, found->second.data(), found->second.size());
        return count == static_cast<ssize_t>(found->second.size()) ? result<int>(fd) : unused();
    }

    void lose_content(const std::string& token) { contents_.erase(token); }

    result<bool> revoke(std::string_view, std::int64_t) override { return false; }

    result<bool> extend(std::string_view, std::int64_t) override { return false; }

    result<blob::link_page> list(std::string_view, std::string_view, std::size_t) override {
        return blob::link_page{};
    }

    result<blob::totals> totals() override { return blob::totals{}; }

    result<blob::sweep_result> sweep(std::int64_t, std::size_t) override {
        return blob::sweep_result{};
    }

private:
    static result<int> unused() { return fail(failure_kind::io, "not in memory"); }

    std::map<std::string, blob::link> links_;
    std::map<std::string, std::string> contents_;
};

} // namespace ebbgate::filelink
