// A store in a folder of its own, and what tests do with it in one call.

#pragma once

#include "crypto/hash.h"
#include "store/blob/disk_store.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <unistd.h>
#include <vector>

namespace ebbgate::blob {

inline constexpr std::int64_t test_now = 1'764'000'000;

inline content_hash hash_of(std::string_view content) {
    return crypto::hash_of(content).bytes;
}

inline link make_link(std::string_view content, std::int64_t created_unix_s = test_now) {
    link made;
    made.token = make_token();
    made.extension = "pdf";
    made.tenant = "acme";
    made.url = "https://files.acme.example/files/";
    made.name = "large file.pdf";
    made.content_type = "application/pdf";
    made.sender = "bob@acme.example";
    made.message_id = "4bX1";
    made.hash = hash_of(content);
    made.bytes = content.size();
    made.created_unix_s = created_unix_s;
    made.expires_unix_s = created_unix_s + 1000;
    return made;
}

inline result<void> publish(blob_store& store, std::string_view content, const link& wanted) {
    const auto fd = store.create_temporary();
    if (!fd) {
        return std::unexpected(fd.error());
    }
    const descriptor owned(*fd);
    if (::write(*fd, content.data(), content.size()) != static_cast<ssize_t>(content.size()) ||
        ::fdatasync(*fd) != 0) {
        return fail(failure_kind::no_space, "the test's own write");
    }
    return store.publish(*fd, wanted);
}

inline std::string read_all(int fd) {
    std::string text;
    char block[4096];
    for (ssize_t got = 0; (got = ::read(fd, block, sizeof block)) > 0;) {
        text.append(block, static_cast<std::size_t>(got));
    }
    return text;
}

class store_fixture : public ::testing::Test {
protected:
    void SetUp() override {
        char name[] = "/tmp/ebbgate-blob-XXXXXX";
        ASSERT_NE(::mkdtemp(name), nullptr);
        above_ = name;
        folder_ = above_ + "/files";
    }

    void TearDown() override { std::filesystem::remove_all(above_); }

    [[nodiscard]] std::unique_ptr<disk_store> open(bool unnamed_files = true) const {
        auto opened = disk_store::open(folder_, unnamed_files);
        EXPECT_TRUE(opened) << opened.error().detail;
        return opened ? std::move(*opened) : nullptr;
    }

    // The new link.
    static link add(blob_store& store, std::string_view content, std::int64_t created = test_now) {
        link wanted = make_link(content, created);
        const auto done = publish(store, content, wanted);
        EXPECT_TRUE(done) << done.error().detail;
        return wanted;
    }

    // Empty: it cannot be opened.
    static std::string content_of(blob_store& store, const link& of) {
        const auto fd = store.open_content(of);
        if (!fd) {
            return {};
        }
        const descriptor owned(*fd);
        return read_all(*fd);
    }

    [[nodiscard]] std::string record_path(const std::string& token) const {
        return folder_ + "/links/" + token.substr(0, 2) + "/" + token;
    }

    // Files, not folders, at any depth.
    [[nodiscard]] std::size_t files_in(const std::string& name) const {
        std::size_t files = 0;
        for (const auto& entry :
             std::filesystem::recursive_directory_iterator(folder_ + "/" + name)) {
            files += entry.is_regular_file() ? 1 : 0;
        }
        return files;
    }

    static std::string read_file(const std::string& path) {
        std::ifstream in(path, std::ios::binary);
        return {std::istreambuf_iterator<char>(in), {}};
    }

    static void write_file(const std::string& path, std::string_view text) {
        std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
    }

    // Every page, of two links each.
    static std::vector<std::string> tokens(blob_store& store, std::string_view tenant = {}) {
        std::vector<std::string> all;
        std::string after;
        do {
            const auto page = store.list(tenant, after, 2);
            EXPECT_TRUE(page) << page.error().detail;
            if (!page) {
                break;
            }
            for (const link& one : page->links) {
                all.push_back(one.token);
            }
            after = page->next;
        } while (!after.empty());
        return all;
    }

    std::string above_;
    std::string folder_;
};

} // namespace ebbgate::blob
