#include "store/blob/link_record.h"
#include "store_fixture.h"

#include <set>

namespace ebbgate::blob {
namespace {

TEST(Link, ALongNameIsClippedAtACharacterAndKeepsItsExtension) {
    const std::string two_bytes = "\xc3\xbc";
    std::string longest = "x";
    while (longest.size() < 3 * name_bytes_max) {
        longest += two_bytes;
    }
    const std::string clipped = clipped_name(longest + ".PDF");
    EXPECT_LE(clipped.size(), name_bytes_max);
    EXPECT_GE(clipped.size(), name_bytes_max - 2);
    EXPECT_TRUE(clipped.ends_with(two_bytes + ".pdf"));
    EXPECT_EQ(clipped_name("short.PDF"), "short.PDF");
    EXPECT_EQ(clipped_name(std::string(5000, '\x80')).size(), 0U);
}

TEST(tokens, are_random_and_strict) {
    std::set<std::string> made;
    for (int number = 0; number < 1000; ++number) {
        const std::string token = make_token();
        EXPECT_TRUE(is_token(token)) << token;
        made.insert(token);
    }
    EXPECT_EQ(made.size(), 1000U);
    EXPECT_FALSE(is_token(""));
    EXPECT_FALSE(is_token(std::string(39, 'a')));
    EXPECT_FALSE(is_token(std::string(41, 'a')));
    EXPECT_FALSE(is_token(std::string(40, 'g')));
    EXPECT_FALSE(is_token(std::string(40, 'A')));
    EXPECT_FALSE(is_token(std::string(39, 'a') + '\0'));
}

TEST(extensions, are_letters_and_digits_of_the_last_dot) {
    EXPECT_EQ(extension_of("example.pdf"), "pdf");
    EXPECT_EQ(extension_of("EXAMPLE.PDF"), "pdf");
    EXPECT_EQ(extension_of("archive.tar.gz"), "gz");
    EXPECT_EQ(extension_of("a.7z"), "7z");
    EXPECT_EQ(extension_of("a.abcdefghij"), "abcdefghij");
    EXPECT_EQ(extension_of("a.abcdefghijk"), "");
    for (const char* none : {"",
                             ".",
                             "..",
                             "name",
                             "name.",
                             ".profile",
                             "a.b c",
                             "a.p\xc3\xa4",
                             "a.pdf ",
                             "a.pdf\n",
                             "a.p/df",
                             "a.<b>",
                             "a.pdf\"",
                             "a.\xff"}) {
        EXPECT_EQ(extension_of(none), "") << none;
    }
    EXPECT_EQ(extension_of(std::string_view("a.pdf\0", 6)), "");
}

link round_trip(const link& written) {
    const std::string text = to_record(written);
    EXPECT_EQ(text.find('\n'), text.size() - 1) << text;
    const auto read = from_record(text);
    EXPECT_TRUE(read) << read.error().detail << text;
    return read.value_or(link{});
}

TEST(link_record, holds_any_name) {
    link one = make_link("x");
    using namespace std::string_view_literals;
    for (const std::string_view name : {"a\"b\\c"sv,
                                        "line\r\nbreak"sv,
                                        "nul\0inside"sv,
                                        "\x1b[31mred"sv,
                                        "gr\xc3\xbc\xc3\x9f.pdf"sv,
                                        "\x7f"sv,
                                        "\xc2\x85"sv,
                                        "\xf0\x9f\x93\x8e"sv,
                                        "</script>"sv,
                                        ""sv}) {
        one.name = name;
        EXPECT_EQ(round_trip(one).name, name);
    }
    one.name = "a\xff\xfe\x80z";
    EXPECT_EQ(round_trip(one).name, "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz");
    one.sender = "\"odd\nsender\"@acme.example";
    one.url = "https://x/\"\\";
    EXPECT_EQ(round_trip(one).sender, one.sender);
    EXPECT_EQ(round_trip(one).url, one.url);
}

TEST(link_record, has_room_for_the_longest_texts) {
    link one = make_link("x");
    for (const char byte : {'\xff', '\x01', 'a'}) {
        one.name = std::string(name_bytes_max, byte);
        one.url = std::string(url_bytes_max, byte);
        one.tenant = std::string(tenant_bytes_max, byte);
        one.content_type = std::string(content_type_bytes_max, byte);
        one.sender = std::string(sender_bytes_max, byte);
        one.message_id = std::string(message_id_bytes_max, byte);
        EXPECT_TRUE(check_link(one));
        EXPECT_LE(to_record(one).size(), record_bytes_max);
        // Changed and written again, it is the same.
        const link read = round_trip(one);
        EXPECT_EQ(to_record(round_trip(read)), to_record(read));
    }
}

TEST(link_record, keeps_its_bounds) {
    const link good = make_link("x");
    EXPECT_TRUE(check_link(good));
    const auto refused = [&](auto change) {
        link one = good;
        change(one);
        const auto checked = check_link(one);
        return !checked && checked.error().kind == failure_kind::bad_input;
    };
    EXPECT_TRUE(refused([](link& one) { one.token = "x"; }));
    EXPECT_TRUE(refused([](link& one) { one.token = "../" + one.token.substr(3); }));
    EXPECT_TRUE(refused([](link& one) { one.extension = "PDF"; }));
    EXPECT_TRUE(refused([](link& one) { one.extension = "a/b"; }));
    EXPECT_TRUE(refused([](link& one) { one.extension = std::string(11, 'a'); }));
    EXPECT_TRUE(refused([](link& one) { one.name = std::string(name_bytes_max + 1, 'a'); }));
    EXPECT_TRUE(refused([](link& one) { one.tenant = std::string(65, 'a'); }));
    EXPECT_TRUE(refused([](link& one) { one.created_unix_s = -1; }));
    EXPECT_TRUE(refused([](link& one) { one.bytes = 1ULL << 63; }));
}

TEST(link_record, is_read_strictly) {
    const std::string text = to_record(make_link("x"));
    ASSERT_TRUE(from_record(text));
    const auto changed = [&](std::string_view from, std::string_view to) {
        std::string other = text;
        const std::size_t at = other.find(from);
        EXPECT_NE(at, std::string::npos) << from;
        other.replace(at, from.size(), to);
        const auto read = from_record(other);
        EXPECT_FALSE(read) << other;
        return !read && read.error().kind == failure_kind::corrupt;
    };
    EXPECT_TRUE(changed("\"version\":1", "\"version\":2"));
    EXPECT_TRUE(changed("\"version\":1", "\"version\":\"1\""));
    EXPECT_TRUE(changed("\"version\":1,", ""));
    EXPECT_TRUE(changed("\"revoked\":0", "\"revoked\":-1"));
    EXPECT_TRUE(changed("\"revoked\":0", "\"revoked\":0.5"));
    EXPECT_TRUE(changed("\"revoked\":0", "\"revoked\":99999999999999999999"));
    EXPECT_TRUE(changed("\"revoked\":0", "\"revoked\":0,\"more\":1"));
    EXPECT_TRUE(changed("\"revoked\":0", "\"revoked\":0,\"revoked\":1"));
    EXPECT_TRUE(changed("\"bytes\":1", "\"bytes\":\"1\""));
    EXPECT_TRUE(changed("\"tenant\":\"acme\"", "\"tenant\":null"));
    EXPECT_TRUE(changed("\"sha256\":\"", "\"sha256\":\"0"));
    EXPECT_TRUE(changed("\"extension\":\"pdf\"", "\"extension\":\"p/f\""));
    EXPECT_TRUE(changed("\"name\":\"", "\"name\":\"\xff"));
    EXPECT_TRUE(changed("}\n", "}"));
    EXPECT_TRUE(changed("}\n", "}\n\n"));
    EXPECT_TRUE(changed("}\n", "}x\n"));
    EXPECT_FALSE(from_record("[]\n"));
    EXPECT_FALSE(from_record("1\n"));
    EXPECT_FALSE(from_record("\n"));
}

TEST(content_hash, is_read_in_lower_case_only) {
    content_hash hash{};
    const std::string digits = hexadecimal(hash_of("x"));
    EXPECT_TRUE(read_hash(digits, hash));
    EXPECT_EQ(hash, hash_of("x"));
    EXPECT_FALSE(read_hash(digits.substr(1), hash));
    EXPECT_FALSE(read_hash("A" + digits.substr(1), hash));
    EXPECT_FALSE(read_hash("x" + digits.substr(1), hash));
}

} // namespace
} // namespace ebbgate::blob
