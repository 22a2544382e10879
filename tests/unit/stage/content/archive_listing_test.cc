// Archives are listed whole, cut at many places, and byte by byte: all must agree.

#include "archives.h"
#include "stage/content/archive_listing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace ebbgate::content {
namespace {

struct listed : member_handler {
    std::set<std::string> names;
    bool any_encrypted = false;
    listing_fault fault = listing_fault::none;
    bool single = false;

    void member(byte_view name, bool encrypted) override {
        names.emplace(name);
        any_encrypted = any_encrypted || encrypted;
    }
};

void list(listed& into,
          archive_format format,
          byte_view bytes,
          std::size_t first,
          std::size_t then,
          const listing_limits& limits) {
    archive_listing listing(format, into, limits);
    for (std::size_t take = first; !bytes.empty(); take = then) {
        const std::string chunk(bytes.substr(0, take));
        listing.feed(chunk);
        bytes.remove_prefix(chunk.size());
    }
    listing.finish();
    into.fault = listing.fault();
    into.single = listing.is_single_file();
}

void expect_list(archive_format format,
                 const std::string& bytes,
                 const std::set<std::string>& names,
                 listing_fault fault,
                 bool encrypted = false,
                 const listing_limits& limits = {}) {
    for (std::size_t cut = 0; cut <= bytes.size() && cut < 1200; ++cut) {
        listed got;
        list(got, format, bytes, cut == 0 ? bytes.size() : cut, bytes.size(), limits);
        ASSERT_EQ(got.fault, fault) << "cut at " << cut;
        ASSERT_EQ(got.names, names) << "cut at " << cut;
        ASSERT_EQ(got.any_encrypted, encrypted);
    }
    for (const std::size_t step : {1U, 2U, 3U, 7U, 28U}) {
        listed got;
        list(got, format, bytes, step, step, limits);
        ASSERT_EQ(got.fault, fault) << "steps of " << step;
        ASSERT_EQ(got.names, names) << "steps of " << step;
    }
}

using enum listing_fault;

struct zip_case {
    const char* what;
    std::string bytes;
    std::set<std::string> names;
    listing_fault fault = none;
    bool encrypted = false;
};

std::string unicode_path(const std::string& name) {
    return little(0x7075, 2) + little(name.size() + 5, 2) + '\x01' + little(0, 4) + name;
}

std::string with_end_in_comment() {
    const std::string hidden = zip({{"evil.exe"}});
    return zip({{"a.txt"}}, {.comment = hidden});
}

std::vector<zip_case> zip_cases() {
    const zip_member a{"a.txt"};
    return {
        {"two members", zip({a, {"b/c.pdf", "xyz"}}), {"a.txt", "b/c.pdf"}},
        {"none", zip({}), {}},
        {"a folder", zip({{"b/", ""}, {"b/c.pdf"}}), {"b/c.pdf"}},
        {"a folder that was packed",
         [] {
             std::string bytes = zip({{"b/", std::string("\x03\0", 2)}});
             bytes.replace(22, 4, little(0, 4));
             bytes.replace(bytes.find("PK\x01\x02") + 24, 4, little(0, 4));
             return bytes;
         }(),
         {}},
        {"a folder with data", zip({{"evil.exe/", "MZ"}}), {"evil.exe/"}},
        {"empty data", zip({{"a.txt", ""}}), {"a.txt"}},
        {"a comment", zip({a}, {.comment = "hello"}), {"a.txt"}},
        {"sizes behind, marked", zip({{.name = "a", .descriptor = 16}, a}), {"a", "a.txt"}},
        {"sizes behind, bare", zip({{.name = "a", .descriptor = 12}, a}), {"a", "a.txt"}},
        {"sizes behind, 64 bits", zip({{.name = "a", .descriptor = 24}, a}), {"a", "a.txt"}},
        {"sizes behind, 64 bits, bare", zip({{.name = "a", .descriptor = 20}, a}), {"a", "a.txt"}},
        {"sizes behind no data", zip({{.name = "a", .data = "", .descriptor = 16}}), {"a"}},
        {"signatures in the data",
         zip({{.name = "a", .data = "PK\x03\x04 PPK\x01\x02PK\x07\x08 PK", .descriptor = 16}}),
         {"a"}},
        {"a zip in the data, sizes behind",
         zip({{.name = "a.zip", .data = zip({{"x"}, {"y"}}), .descriptor = 12}, a}),
         {"a.zip", "a.txt"}},
        {"a zip in the data", zip({{"a.zip", zip({{"evil.exe"}})}}), {"a.zip"}},
        {"encrypted", zip({{.name = "a.txt", .flags = 1}}), {"a.txt"}, none, true},
        {"AES", zip({{.name = "a.txt", .method = 99}}), {"a.txt"}, none, true},
        {"a second name",
         zip({{.name = "a.txt", .extra = unicode_path("evil.exe")}}),
         {"a.txt", "evil.exe"}},

        {"names that differ",
         zip({{.name = "a.txt", .central_name = "evil.exe"}}),
         {"a.txt", "evil.exe"},
         disagreement},
        {"another end in the comment", with_end_in_comment(), {"a.txt"}, disagreement},
        {"bytes behind", zip({a}, {.behind = "x"}), {"a.txt"}, broken},
        {"a zip behind", zip({a}) + zip({{"evil.exe"}}), {"a.txt"}, broken},
        {"bytes in front", zip({a}, {.prefix = "x"}), {}, broken},
        {"no central directory", zip({a}, {.without_central = true}), {"a.txt"}, broken},
        {"no archive", "hello, this is a text", {}, broken},
        {"nothing", "", {}, broken},
        {"cut off", zip({a}).substr(0, 40), {"a.txt"}, broken},
        {"masked", zip({{.name = "a.txt", .flags = 1U << 13}}), {}, hidden_names},
        {"encrypted directory",
         zip({a}, {.without_central = true}) + "PK\x06\x08",
         {"a.txt"},
         hidden_names},
    };
}

TEST(ZipListing, FindsEveryNameHoweverItIsCut) {
    for (const zip_case& c : zip_cases()) {
        SCOPED_TRACE(c.what);
        expect_list(archive_format::zip, c.bytes, c.names, c.fault, c.encrypted);
    }
}

TEST(ZipListing, AMemberThatTheDirectoryLeavesOutIsSeen) {
    // The local header of evil.exe is there; the directory and its end know only a.txt.
    const std::string both = zip({{"a.txt"}, {"evil.exe"}});
    const std::string one = zip({{"a.txt"}});
    const std::size_t central = one.find("PK\x01\x02");
    std::string end = one.substr(central);
    const std::string locals = both.substr(0, both.find("PK\x01\x02"));
    end.replace(end.size() - 6, 4, little(locals.size(), 4));
    expect_list(archive_format::zip, locals + end, {"a.txt", "evil.exe"}, disagreement);
    // And the other way round.
    std::string more = both.substr(both.find("PK\x01\x02"));
    more.replace(more.size() - 6, 4, little(central, 4));
    listed got;
    const std::string bytes = one.substr(0, central) + more;
    list(got, archive_format::zip, bytes, bytes.size(), 1, {});
    EXPECT_EQ(got.fault, disagreement);
}

TEST(ZipListing, LimitsHold) {
    std::vector<zip_member> many;
    for (int i = 0; i < 4; ++i) {
        many.push_back({"f" + std::to_string(i)});
    }
    listing_limits limits;
    limits.members_max = 4;
    expect_list(archive_format::zip, zip(many), {"f0", "f1", "f2", "f3"}, none, false, limits);
    limits.members_max = 3;
    expect_list(archive_format::zip, zip(many), {"f0", "f1", "f2"}, too_large, false, limits);
    limits = {.name_bytes_max = 8};
    expect_list(archive_format::zip, zip({{"12345678"}}), {"12345678"}, none, false, limits);
    expect_list(archive_format::zip, zip({{"123456789"}}), {}, too_large, false, limits);
    limits = {.all_name_bytes_max = 4}; // Each name comes twice.
    expect_list(archive_format::zip, zip({{"12"}}), {"12"}, none, false, limits);
    expect_list(archive_format::zip, zip({{"12"}, {"3"}}), {"12", "3"}, too_large, false, limits);
}

std::vector<zip_case> tar_cases() {
    const std::string a = tar_member("a.txt", "hello");
    const std::string long_name(300, 'n');
    std::string sum = a;
    sum[0] = 'b';
    return {
        {"two members", a + tar_member("b/c.pdf", "") + tar_end(), {"a.txt", "b/c.pdf"}},
        {"old format", tar_member("a.txt", "x", '\0', false) + tar_end(), {"a.txt"}},
        {"no end", a, {"a.txt"}},
        {"one block at the end", a + std::string(512, '\0'), {"a.txt"}},
        {"folder", tar_member("d/", "", '5') + a + tar_end(), {"a.txt"}},
        {"link", tar_member("evil.exe", "", '2') + tar_end(), {"evil.exe"}},
        {"GNU long name",
         tar_member("././@LongLink", long_name + ".exe" + '\0', 'L') +
             tar_member(long_name.substr(0, 99), "x") + tar_end(),
         {long_name + ".exe"}},
        {"GNU long name that is another",
         tar_member("././@LongLink", "evil.exe", 'L') + tar_member("a.txt", "x") + tar_end(),
         {"a.txt", "evil.exe"}},
        {"pax name",
         tar_member("PaxHeader", pax("path", "evil.exe"), 'x') + tar_member("a.txt", "x") +
             tar_end(),
         {"a.txt", "evil.exe"}},
        {"pax name that was cut in other letters",
         tar_member("P", pax("path", std::string(120, '\xe9') + ".pdf"), 'x') +
             tar_member(std::string(100, '?'), "x") + tar_end(),
         {std::string(120, '\xe9') + ".pdf"}},
        {"pax name beside a long one with an extension",
         tar_member("P", pax("path", "a.pdf"), 'x') +
             tar_member(std::string(96, '?') + ".exe", "x") + tar_end(),
         {std::string(96, '?') + ".exe", "a.pdf"}},
        {"pax size", tar_member("P", pax("size", "5"), 'x') + a + tar_end(), {"a.txt"}},
        {"pax size that is another",
         tar_member("P", pax("size", "1024"), 'x') + a + tar_end(),
         {},
         disagreement},
        {"pax without an end", tar_member("P", pax("path", "x"), 'x'), {}, broken},
        {"pax that is none", tar_member("P", "99 path=x\n", 'x') + a, {}, broken},
        {"global name", tar_member("P", pax("path", "x"), 'g') + a, {}, disagreement},
        {"global comment", tar_member("P", pax("comment", "x"), 'g') + a, {"a.txt"}},
        {"sparse", tar_member("a", "x", 'S'), {}, disagreement},
        {"a link with data", tar_member("a", "x", '2') + tar_end(), {"a"}, disagreement},
        {"another tar behind the end",
         a + tar_end() + tar_member("evil.exe", ""),
         {"a.txt"},
         disagreement},
        {"another behind one block",
         a + std::string(512, '\0') + tar_member("evil.exe", ""),
         {"a.txt"},
         disagreement},
        {"wrong sum", sum, {}, broken},
        {"text", std::string(600, 'x'), {}, broken},
        {"nothing", "", {}, broken},
        {"cut in data", a.substr(0, 515), {"a.txt"}, broken},
    };
}

TEST(TarListing, FindsEveryNameHoweverItIsCut) {
    for (const zip_case& c : tar_cases()) {
        SCOPED_TRACE(c.what);
        expect_list(archive_format::tar, c.bytes, c.names, c.fault);
    }
}

TEST(GzipListing, LooksIntoATar) {
    const std::string tar =
        tar_member("a.txt", std::string(9000, 'x')) + tar_member("evil.exe", "x") + tar_end();
    expect_list(archive_format::gzip, gzip(tar), {"a.txt", "evil.exe"}, none);
    expect_list(archive_format::gzip, gzip(tar, "other.tar"), {"a.txt", "evil.exe"}, none);
    // The tar goes on in the second member.
    expect_list(archive_format::gzip,
                gzip(tar.substr(0, 9728)) + gzip(tar.substr(9728)),
                {"a.txt", "evil.exe"},
                none);
    const std::string packed = gzip(tar);
    expect_list(
        archive_format::gzip, packed.substr(0, packed.size() - 9), {"a.txt", "evil.exe"}, broken);
    expect_list(archive_format::gzip, packed + "junk", {"a.txt", "evil.exe"}, broken);
}

TEST(GzipListing, OfASingleFileHasTheStoredName) {
    expect_list(archive_format::gzip, gzip("hello", "evil.exe"), {"evil.exe"}, none);
    expect_list(archive_format::gzip, gzip("hello"), {}, none);
    expect_list(archive_format::gzip, gzip("hello", std::string(1100, 'n')), {}, too_large);
    listed got;
    const std::string bytes = gzip("hello");
    list(got, archive_format::gzip, bytes, bytes.size(), 1, {});
    EXPECT_TRUE(got.single);
    expect_list(archive_format::gzip, "\x1f\x8b\x08 no", {}, broken);
}

TEST(GzipListing, ABombIsNotUnpacked) {
    const std::string bomb = gzip(tar_member("zeros.txt", std::string(8 * mib, '\0')) + tar_end());
    listed got;
    list(got, archive_format::gzip, bomb, bomb.size(), 1, {});
    EXPECT_EQ(got.fault, too_large);
    listing_limits limits;
    limits.ratio_max = 2000;
    listed all;
    list(all, archive_format::gzip, bomb, bomb.size(), 1, limits);
    EXPECT_EQ(all.fault, none);
    limits.unpacked_bytes_max = 4 * mib;
    listed capped;
    list(capped, archive_format::gzip, bomb, bomb.size(), 1, limits);
    EXPECT_EQ(capped.fault, too_large);
}

} // namespace
} // namespace ebbgate::content
