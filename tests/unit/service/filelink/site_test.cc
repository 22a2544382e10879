// What the site answers: who gets the file, who gets nothing, and with what headers.

#include "memory_store.h"
#include "service/filelink/challenge.h"
#include "service/filelink/site.h"

#include <gtest/gtest.h>

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

namespace ebbgate::filelink {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t now_unix_s = 1'800'000'000;

class site_test : public testing::Test {
protected:
    void SetUp() override {
        auto made = task::reactor::open({.buffer_count = 64});
        ASSERT_TRUE(made.has_value()) << made.error().detail;
        reactor_ = std::move(*made);
        blob::link link;
        link.token = token;
        link.extension = "pdf";
        link.tenant = "acme";
        link.url = "https://Files.acme.example:8443/files/";
        link.name = "R\xc3\xa4port.pdf";
        link.content_type = "application/pdf";
        link.hash.fill(0xab);
        link.created_unix_s = now_unix_s - 1000;
        link.expires_unix_s = now_unix_s + 86'400;
        store_.put(link, "0123456789");
        link.token = bare_token;
        link.extension = "";
        link.url = "http://files.acme.example/";
        link.content_type = "text/html";
        store_.put(link, "");
        open({.is_https = true});
    }

    void open(site_settings settings) {
        site_ = std::make_unique<site>(
            std::move(settings),
            site::parts{
                .reactor = *reactor_,
                .store = store_,
                .counters = counters_,
                .on_download = [this](const download& one) { downloads_.push_back(one); },
                .is_refused = [](const std::string& client) { return client == "192.0.2.66"; }});
    }

    static http::request get(std::string_view target, std::vector<http::header> headers = {}) {
        http::request asked;
        asked.method = "GET";
        asked.path = target;
        asked.client = "192.0.2.1";
        asked.headers = std::move(headers);
        asked.headers.push_back({"Host", "files.acme.example"});
        return asked;
    }

    http::response answer(const http::request& asked, std::int64_t unix_s = now_unix_s) {
        return site_->answer(asked, {unix_s, ms_ += 1000});
    }

    static std::string value(const http::response& of, std::string_view name) {
        std::string found;
        for (const http::header& one : of.headers) {
            if (http::equal_without_case(one.name, name)) {
                EXPECT_TRUE(found.empty()) << name << " twice";
                found = one.value;
            }
        }
        return found;
    }

    static std::string content(const http::response& of) {
        std::string text(of.file ? of.file->bytes() : 0, '\0');
        if (of.file) {
            EXPECT_EQ(pread(of.file->descriptor(),
                            text.data(),
                            text.size(),
                            static_cast<off_t>(of.file->offset())),
                      static_cast<ssize_t>(text.size()));
        }
        return text;
    }

    static constexpr const char* token = "e1eb3665a1a0766ea65616b6210cfd538c4950f8";
    static constexpr const char* bare_token = "00000000000000000000000000000000000000ff";
    static constexpr const char* path = "/files/e1eb3665a1a0766ea65616b6210cfd538c4950f8.pdf";

    memory_store store_;
    counters counters_;
    std::vector<download> downloads_;
    std::unique_ptr<task::reactor> reactor_;
    std::unique_ptr<site> site_;
    std::uint64_t ms_ = 0;
};

TEST_F(site_test, whoever_has_the_url_gets_the_file_as_a_download) {
    const http::response got = answer(get(path));
    EXPECT_EQ(got.status, 200);
    EXPECT_EQ(content(got), "0123456789");
    EXPECT_EQ(got.content_type, "application/pdf");
    EXPECT_EQ(value(got, "Content-Disposition"),
              "attachment; filename=\"R_port.pdf\"; filename*=UTF-8''R%C3%A4port.pdf");
    EXPECT_EQ(value(got, "Content-Security-Policy"), "sandbox; default-src 'none'");
    EXPECT_EQ(value(got, "Cache-Control"), "private, max-age=3600, no-transform");
    EXPECT_EQ(value(got, "Expires"), http::date_text(now_unix_s + 3600));
    EXPECT_EQ(value(got, "ETag"), "\"abababababababababababababababab\"");
    EXPECT_EQ(value(got, "Last-Modified"), http::date_text(now_unix_s - 1000));
    EXPECT_EQ(value(got, "Accept-Ranges"), "bytes");
    EXPECT_EQ(value(got, "Referrer-Policy"), "no-referrer");
    EXPECT_EQ(value(got, "X-Robots-Tag"), "noindex");
    EXPECT_EQ(value(got, "Strict-Transport-Security"), "max-age=31536000");
    EXPECT_TRUE(downloads_.empty()) << "it has not left yet";
    got.on_end(10, true);
    ASSERT_EQ(downloads_.size(), 1U);
    EXPECT_EQ(downloads_[0].tenant, "acme");
    EXPECT_EQ(downloads_[0].token, token);
    EXPECT_EQ(downloads_[0].client, "192.0.2.1");
    EXPECT_EQ(downloads_[0].bytes, 10U);
    EXPECT_EQ(counters_.sent_bytes, 10U);
}

TEST_F(site_test, head_and_what_was_cut_are_no_downloads) {
    http::request asked = get(path);
    asked.method = "HEAD";
    const http::response head = answer(asked);
    EXPECT_EQ(head.status, 200);
    EXPECT_EQ(http::body_bytes_of(head), 10U);
    head.on_end(0, true);
    answer(get(path)).on_end(4, false);
    EXPECT_TRUE(downloads_.empty());
    EXPECT_EQ(counters_.downloads, 0U);
    EXPECT_EQ(counters_.sent_bytes, 4U);
}

TEST_F(site_test, parts_are_sent_to_get_alone) {
    const http::response part = answer(get(path, {{"Range", "bytes=2-4"}}));
    EXPECT_EQ(part.status, 206);
    EXPECT_EQ(content(part), "234");
    EXPECT_EQ(value(part, "Content-Range"), "bytes 2-4/10");
    EXPECT_EQ(value(part, "ETag"), "\"abababababababababababababababab\"");
    part.on_end(3, true);
    EXPECT_TRUE(downloads_.at(0).is_part);
    EXPECT_EQ(content(answer(get(path, {{"Range", "bytes=-3"}}))), "789");
    const http::response none = answer(get(path, {{"Range", "bytes=10-"}}));
    EXPECT_EQ(none.status, 416);
    EXPECT_EQ(value(none, "Content-Range"), "bytes */10");
    EXPECT_EQ(none.file, nullptr);
    EXPECT_EQ(answer(get(path, {{"Range", "bytes=0-1,3-4"}})).status, 200);
    EXPECT_EQ(answer(get(path, {{"Range", "bytes=0-1"}, {"Range", "bytes=0-1"}})).status, 200);
    EXPECT_EQ(answer(get(path, {{"Range", "bytes=0-1"}, {"If-Range", "\"x\""}})).status, 200);
    EXPECT_EQ(
        answer(get(path,
                   {{"Range", "bytes=0-1"}, {"If-Range", "\"abababababababababababababababab\""}}))
            .status,
        206);
    http::request head = get(path, {{"Range", "bytes=2-4"}});
    head.method = "HEAD";
    EXPECT_EQ(answer(head).status, 200);
}

TEST_F(site_test, conditions_are_judged_before_the_range) {
    const http::header same{"If-None-Match", "\"abababababababababababababababab\""};
    const http::response same_file = answer(get(path, {same, {"Range", "bytes=99-"}}));
    EXPECT_EQ(same_file.status, 304);
    EXPECT_EQ(value(same_file, "ETag"), "\"abababababababababababababababab\"");
    EXPECT_EQ(value(same_file, "Cache-Control"), "private, max-age=3600, no-transform");
    EXPECT_EQ(value(same_file, "Content-Disposition"), "");
    EXPECT_EQ(answer(get(path, {{"If-Match", "\"x\""}, {"Range", "bytes=0-"}})).status, 412);
}

TEST_F(site_test, caches_keep_nothing_beyond_the_links_end) {
    const http::response got = answer(get(path), now_unix_s + 86'390);
    EXPECT_EQ(value(got, "Cache-Control"), "private, max-age=10, no-transform");
    EXPECT_EQ(value(got, "Expires"), http::date_text(now_unix_s + 86'400));
}

TEST_F(site_test, all_that_is_not_the_url_gets_one_and_the_same_answer) {
    const std::string wrong_token = "/files/e1eb3665a1a0766ea65616b6210cfd538c4950f9.pdf";
    const std::string base = "/files/" + std::string(token);
    std::vector<http::request> all;
    for (const std::string& wrong :
         std::vector<std::string>{std::string("/"),
                                  std::string("/files/"),
                                  std::string("/files"),
                                  wrong_token,
                                  base,
                                  base + ".PDF",
                                  base + ".exe",
                                  base + ".pdf.",
                                  base + ".pdf/",
                                  base + "pdf",
                                  base + ".",
                                  base + ".pdf%00",
                                  base + "%2epdf",
                                  "/" + std::string(token) + ".pdf",
                                  "/files//" + std::string(token) + ".pdf",
                                  "//files/" + std::string(token) + ".pdf",
                                  "/files/../files/" + std::string(token) + ".pdf",
                                  "/Files/" + std::string(token) + ".pdf",
                                  "/files/%2e%2e/" + std::string(token) + ".pdf",
                                  "/files/E1EB3665A1A0766EA65616B6210CFD538C4950F8.pdf",
                                  std::string("/files/../../../../etc/passwd"),
                                  std::string("/.well-known/security.txt"),
                                  "/files/" + std::string(100'000, 'a'),
                                  std::string("/favicon.ico")}) {
        all.push_back(get(wrong));
    }
    for (const std::string_view host : {"acme.example",
                                        "files.acme.example.",
                                        "files.acme.example:x",
                                        "files.acme.example@evil",
                                        "xfiles.acme.example",
                                        "[files.acme.example",
                                        ""}) {
        all.push_back(get(path));
        all.back().headers.back().value = host;
    }
    const http::response first = answer(get("/files/x"));
    EXPECT_EQ(first.status, 404);
    for (http::request& asked : all) {
        asked.client = "10.0.0." + std::to_string(&asked - all.data());
        const http::response got = answer(asked);
        EXPECT_EQ(got.status, 404) << asked.path.substr(0, 100) << ' ' << asked.find("Host");
        EXPECT_EQ(got.body, first.body);
        EXPECT_EQ(got.headers.size(), first.headers.size());
        EXPECT_EQ(got.file, nullptr);
    }
}

TEST_F(site_test, hosts_count_in_any_case_and_with_any_port) {
    for (const std::string_view host : {"FILES.Acme.Example",
                                        "files.acme.example:443",
                                        "files.acme.example:8443",
                                        "files.acme.example:"}) {
        http::request asked = get(path);
        asked.headers.back().value = host;
        EXPECT_EQ(answer(asked).status, 200) << host;
    }
}

TEST_F(site_test, what_is_no_token_is_never_looked_up) {
    (void)answer(get("/files/../../etc/passwd"));
    (void)answer(get("/files/e1eb3665a1a0766ea65616b6210cfd538c4950f8pdf"));
    (void)answer(get("/"));
    EXPECT_EQ(store_.finds, 0);
    (void)answer(get("/files/e1eb3665a1a0766ea65616b6210cfd538c4950f9.pdf"));
    EXPECT_EQ(store_.finds, 1);
}

TEST_F(site_test, a_link_that_is_over_says_so_to_whoever_has_all_of_it) {
    EXPECT_EQ(answer(get(path), now_unix_s + 86'399).status, 200);
    EXPECT_EQ(answer(get(path), now_unix_s + 86'400).status, 410);
    store_.at(token).revoked_unix_s = now_unix_s - 5;
    EXPECT_EQ(answer(get(path)).status, 410);
    EXPECT_EQ(answer(get("/files/" + std::string(token))).status, 404);
    EXPECT_EQ(answer(get(path, {{"If-None-Match", "*"}})).status, 410);
}

TEST_F(site_test, a_listener_of_a_tenant_has_its_links_alone) {
    open({.is_https = true, .tenant = "acme"});
    EXPECT_EQ(answer(get(path)).status, 200);
    open({.is_https = true, .tenant = "other"});
    EXPECT_EQ(answer(get(path)).status, 404);
}

TEST_F(site_test, clear_text_serves_what_is_linked_so_and_sends_the_rest_to_https) {
    open({.is_https = false});
    const http::response moved = answer(get(path));
    EXPECT_EQ(moved.status, 308);
    EXPECT_EQ(value(moved, "Location"),
              "https://Files.acme.example:8443/files/" + std::string(token) + ".pdf");
    EXPECT_EQ(value(moved, "Strict-Transport-Security"), "");
    const http::response empty = answer(get("/" + std::string(bare_token)));
    EXPECT_EQ(empty.status, 200);
    EXPECT_EQ(empty.content_type, "application/octet-stream") << "never text/html";
    EXPECT_EQ(http::body_bytes_of(empty), 0U);
    EXPECT_EQ(answer(get("/" + std::string(bare_token), {{"Range", "bytes=0-"}})).status, 200);
    EXPECT_EQ(answer(get("/files/e1eb3665a1a0766ea65616b6210cfd538c4950f9.pdf")).status, 404)
        << "no other host is ever named";
}

TEST_F(site_test, other_methods_are_refused) {
    for (const std::string_view method :
         {"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get", "X"}) {
        http::request asked = get(path);
        asked.method = method;
        const http::response got = answer(asked);
        EXPECT_EQ(got.status, 405);
        EXPECT_EQ(value(got, "Allow"), "GET, HEAD");
    }
    EXPECT_EQ(site_->body_bytes_max(get(path)), 0U);
}

TEST_F(site_test, a_store_that_fails_is_no_missing_file) {
    store_.fails = true;
    EXPECT_EQ(answer(get(path)).status, 503);
    store_.fails = false;
    store_.lose_content(token);
    EXPECT_EQ(answer(get(path)).status, 503);
}

TEST_F(site_test, who_asks_too_much_or_guesses_is_told_to_wait) {
    open({.is_https = true,
          .rates = {
              .requests_per_minute = 4, .not_found_per_minute = 2, .connections_per_client = 1}});
    const site::instant now{now_unix_s, 5000};
    for (int count = 0; count < 4; ++count) {
        EXPECT_EQ(site_->answer(get(path), now).status, 200);
    }
    const http::response limited = site_->answer(get(path), now);
    EXPECT_EQ(limited.status, 429);
    EXPECT_EQ(value(limited, "Retry-After"), "15");
    http::request guess = get("/files/guess");
    guess.client = "192.0.2.9";
    EXPECT_EQ(site_->answer(guess, now).status, 404);
    EXPECT_EQ(site_->answer(guess, now).status, 404);
    EXPECT_EQ(site_->answer(guess, now).status, 429);
    EXPECT_EQ(counters_.limited, 2U);
    EXPECT_EQ(counters_.not_found, 2U);
    EXPECT_EQ(counters_.by_class[2], 4U);
    EXPECT_EQ(counters_.by_class[4], 4U);
}

TEST_F(site_test, connections_are_counted_and_banned_clients_have_none) {
    open({.is_https = true, .rates = {.connections_per_client = 1}});
    EXPECT_FALSE(site_->on_connected("192.0.2.66"));
    EXPECT_TRUE(site_->on_connected("192.0.2.1"));
    EXPECT_EQ(answer(get(path)).status, 200);
    EXPECT_TRUE(site_->on_connected("192.0.2.1"));
    const http::response refused = answer(get(path));
    EXPECT_EQ(refused.status, 429);
    EXPECT_TRUE(refused.closes);
    EXPECT_FALSE(site_->on_connected("192.0.2.1"));
    site_->on_disconnected("192.0.2.1");
    EXPECT_EQ(answer(get(path)).status, 200);
}

class challenge_test : public site_test {
protected:
    void SetUp() override {
        site_test::SetUp();
        char name[] = "/tmp/ebbgate-webroot-XXXXXX";
        ASSERT_NE(mkdtemp(name), nullptr);
        webroot_ = name;
        fs::create_directories(webroot_ / ".well-known/acme-challenge");
        open({.is_https = false, .acme_webroot = webroot_.string()});
    }

    void TearDown() override { fs::remove_all(webroot_); }

    fs::path file(std::string_view name) const {
        return webroot_ / ".well-known/acme-challenge" / name;
    }

    std::uint16_t ask(std::string_view name) {
        return answer(get("/.well-known/acme-challenge/" + std::string(name))).status;
    }

    fs::path webroot_;
};

TEST_F(challenge_test, small_regular_files_are_answers_and_nothing_else) {
    std::ofstream(file("To-ken_1")) << "To-ken_1.thumbprint";
    const http::response got = answer(get("/.well-known/acme-challenge/To-ken_1"));
    EXPECT_EQ(got.status, 200);
    EXPECT_EQ(got.body, "To-ken_1.thumbprint");
    EXPECT_EQ(counters_.challenges, 1U);
    std::ofstream(webroot_ / "secret") << "secret";
    std::ofstream(file("a.b")) << "a dot";
    std::ofstream(file("large")) << std::string(challenge_bytes_max + 1, 'x');
    std::ofstream(file("most")) << std::string(challenge_bytes_max, 'x');
    std::ofstream(file("empty")) << "";
    fs::create_symlink("../../secret", file("link"));
    fs::create_directory(file("folder"));
    ASSERT_EQ(mkfifo(file("pipe").c_str(), 0600), 0);
    const std::string long_name(token_characters_max + 1, 'a');
    std::ofstream(file(long_name)) << "long";
    for (const std::string& wrong : {std::string("unknown"),
                                     std::string(),
                                     std::string("a.b"),
                                     std::string("large"),
                                     std::string("link"),
                                     std::string("folder"),
                                     std::string("pipe"),
                                     long_name,
                                     std::string("../../secret"),
                                     std::string("..%2f..%2fsecret"),
                                     std::string("To-ken_1/"),
                                     std::string("/To-ken_1"),
                                     std::string("To-ken_1\0", 9)}) {
        EXPECT_EQ(ask(wrong), 404) << wrong;
    }
    EXPECT_EQ(ask("most"), 200);
    EXPECT_EQ(ask("empty"), 200);
}

TEST_F(challenge_test, without_a_webroot_there_are_none) {
    std::ofstream(file("token")) << "x";
    open({.is_https = false});
    EXPECT_EQ(ask("token"), 404);
}

} // namespace
} // namespace ebbgate::filelink
