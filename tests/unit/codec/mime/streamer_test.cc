// The structure of messages, scanned whole and cut at each byte.

#include "recorder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace ebbgate::mime {
namespace {

using enum ambiguity;
using lines = std::vector<std::string>;

std::string mixed(byte_view rest, byte_view boundary = "b") {
    return "Content-Type: multipart/mixed; boundary=\"" + std::string(boundary) + "\"\r\n\r\n" +
           std::string(rest);
}

// The events without the first part's beginning and header.
lines inner(const recorder& seen) {
    lines out;
    for (const std::string& line : seen.events) {
        if (!line.starts_with("part 0") && !line.starts_with("header 0")) {
            out.push_back(line);
        }
    }
    return out;
}

TEST(MimeStreamer, GivesAPlainMessage) {
    const recorder seen = record_every_way("Subject: a\r\n b\r\nTo:c\r\n\r\nHello\r\n--b\r\n");
    EXPECT_EQ(seen.events,
              (lines{"part 0 in - depth 0",
                     "header 0 leaf text/plain [Subject| a\r\n b] [To|c]",
                     "header 0: Subject: a\r\n b\r\nTo:c\r\n\r\n",
                     "body 0: Hello\r\n--b\r\n",
                     "end 0 at 36",
                     "done 0"}));
    EXPECT_EQ(seen.unclears, lines{});
}

TEST(MimeStreamer, GivesEachRegionOfAMultipart) {
    const recorder seen = record_every_way(
        mixed("pre\r\n--b\r\n\r\none\r\n\r\n--b  \r\nX: y\r\n\r\n--b--\r\nepi\r\n"));
    EXPECT_EQ(inner(seen),
              (lines{"preamble 0: pre",
                     "boundary 0: \r\n--b\r\n",
                     "part 1 in 0 depth 1",
                     "header 1 leaf text/plain",
                     "header 1: \r\n",
                     "body 1: one\r\n",
                     "end 1 at 64",
                     "done 1",
                     "boundary 0: \r\n--b  \r\n",
                     "part 2 in 0 depth 1",
                     "header 2 leaf text/plain [X| y]",
                     "header 2: X: y\r\n\r\n",
                     "end 2 at 81",
                     "done 2",
                     "boundary 0: --b--",
                     "epilogue 0: \r\nepi\r\n",
                     "end 0 at 93",
                     "done 0"}));
    EXPECT_EQ(seen.unclears, lines{});
}

TEST(MimeStreamer, GivesTheLineEndBehindAnInnerMultipartToTheOuterBoundary) {
    const recorder seen =
        record_every_way(mixed("--b\r\n" + mixed("--i\r\n\r\n1\r\n--i--", "i") + "\r\n--b--\r\n"));
    EXPECT_EQ(
        inner(seen),
        (lines{"boundary 0: --b\r\n",
               "part 1 in 0 depth 1",
               "header 1 multipart multipart/mixed [Content-Type| multipart/mixed; boundary=\"i\"]",
               "header 1: Content-Type: multipart/mixed; boundary=\"i\"\r\n\r\n",
               "boundary 1: --i\r\n",
               "part 2 in 1 depth 2",
               "header 2 leaf text/plain",
               "header 2: \r\n",
               "body 2: 1",
               "end 2 at 107",
               "done 2",
               "boundary 1: \r\n--i--",
               "end 1 at 114",
               "done 1",
               "boundary 0: \r\n--b--",
               "epilogue 0: \r\n",
               "end 0 at 123",
               "done 0"}));
    EXPECT_EQ(seen.unclears, lines{});
}

TEST(MimeStreamer, WalksMessagesWithinMessages) {
    const recorder seen =
        record_every_way("Content-Type: message/rfc822\r\n\r\nContent-Type: message/global\r\n\r\n"
                         "Subject: x\r\n\r\nbody\r\n");
    EXPECT_EQ(seen.begun, 3U);
    EXPECT_EQ(seen.events[2], "header 0: Content-Type: message/rfc822\r\n\r\n");
    EXPECT_EQ(seen.events[3], "part 1 in 0 depth 1");
    EXPECT_EQ(seen.events[8], "header 2: Subject: x\r\n\r\n");
    EXPECT_EQ(seen.events[9], "body 2: body\r\n");
    EXPECT_EQ(seen.unclears, lines{});
}

TEST(MimeStreamer, TakesTheDefaultTypeOfADigest) {
    const recorder seen = record_every_way(
        "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: a\r\n\r\nx\r\n"
        "--b\r\nContent-Type: text/html\r\n\r\ny\r\n--b--\r\n");
    EXPECT_EQ(seen.contents[1].subtype, "rfc822");
    EXPECT_EQ(seen.contents[2].subtype, "plain");
    EXPECT_EQ(seen.contents[3].subtype, "html");
    EXPECT_EQ(seen.unclears, lines{});
}

TEST(MimeStreamer, KeepsBoundariesOfOuterPartsInsideMessages) {
    const recorder seen = record_every_way(mixed("--b\r\nContent-Type: message/rfc822\r\n\r\n" +
                                                 mixed("--i\r\n\r\nx", "i") + "\r\n--b--\r\n"));
    EXPECT_EQ(seen.begun, 4U);
    EXPECT_TRUE(seen.kinds.has(no_closing_boundary));
    EXPECT_EQ(seen.events.back(), "done 0");
    EXPECT_EQ(seen.events[seen.events.size() - 3], "epilogue 0: \r\n");
}

struct unclear_case {
    const char* name;
    std::string text;
    lines expected;
    std::uint32_t parts = 1;
};

std::vector<unclear_case> unclear_cases() {
    const std::string zero(1, '\0');
    const std::string part = "--b\r\n\r\nx\r\n";
    const std::string long_boundary(71, 'l');
    const std::string too_long_boundary(257, 'l');
    return {
        {"malformed line", "A: b\r\nno field\r\n\r\nx", {"malformed_line in 0 at 6"}},
        {"fold first", " a\r\nA: b\r\n\r\n", {"malformed_line in 0 at 0"}},
        {"malformed part", mixed("--b\r\ntext\r\n--b--"), {"malformed_line in 1 at 52"}, 2},
        {"mbox", "From a@b\r\nA: b\r\n\r\n", {"mbox_line in 0 at 0"}},
        {"quoted mbox",
         "Content-Type: message/rfc822\r\n\r\n>From a\r\nA: b\r\n\r\n",
         {"mbox_line in 1 at 32"},
         2},
        {"blank line", "A: b\r\n \t\r\nC: d\r\n\r\n", {"blank_line in 0 at 6"}},
        {"blank before colon",
         "Content-Type : text/html\r\n\r\n",
         {"blank_before_colon in 0 at 0"}},
        {"blank before another colon", "Subject : text/html\r\n\r\n", {}},
        {"NUL", "A: b" + zero + "\r\n\r\n", {"control in 0 at 0"}},
        {"return", "A: b\rC: d\r\n\r\n", {"control in 0 at 0"}},
        {"bare newlines", "A: b\nC: d\n\nbody\n", {"bare_newline in 0 at 0"}},
        {"bare newline at a boundary",
         mixed("x\n--b\n\n1\r\n--b--"),
         {"bare_newline in 0 at 48", "bare_newline in 1 at 53"},
         2},
        {"no end", "A: b\r\n", {"unended_header in 0 at 6"}},
        {"no end of a line", "A: b", {"unended_header in 0 at 4"}},
        {"nothing", "", {"unended_header in 0 at 0"}},
        {"boundary in a header", mixed("--b\r\nA: b\r\n--b--"), {"unended_header in 1 at 58"}, 2},
        {"boundary with a colon",
         mixed("--b:c\r\nA: b\r\n--b:c--", "b:c"),
         {"unended_header in 1 at 62"},
         2},
        {"doubled type",
         "Content-Type: text/html\r\nContent-Type: text/plain\r\n\r\n",
         {"doubled_field in 0 at 0"}},
        {"two boundaries",
         "Content-Type: multipart/mixed; boundary=b; boundary=c\r\n\r\n--b\r\n\r\nx\r\n--b--",
         {"doubled_parameter in 0 at 0", "conflicting_boundaries in 0 at 0"},
         2},
        {"long boundary",
         mixed("--" + long_boundary + "\r\n\r\nx\r\n--" + long_boundary + "--", long_boundary),
         {"odd_boundary in 0 at 0"},
         2},
        {"too long boundary",
         mixed(part, too_long_boundary),
         {"odd_boundary in 0 at 0", "no_boundary in 0 at 0"}},
        {"odd boundary", mixed("--b!\r\n\r\nx\r\n--b!--", "b!"), {"odd_boundary in 0 at 0"}, 2},
        {"no boundary",
         "Content-Type: multipart/mixed\r\n\r\n--b\r\n\r\nx",
         {"no_boundary in 0 at 0"}},
        {"empty boundary",
         mixed("--\r\n\r\nx", ""),
         {"odd_boundary in 0 at 0", "no_boundary in 0 at 0"}},
        {"same boundary inside",
         mixed("--b\r\n" + mixed(part + "--b--\r\n") + "--b--"),
         {"boundary_clash in 1 at 52"},
         3},
        {"prefix",
         mixed("--b\r\n" + mixed("--bc\r\n\r\nx\r\n--bc--", "bc") + "\r\n--b--"),
         {"boundary_clash in 1 at 52"},
         3},
        {"near boundary", mixed(part + "--bx\r\n--b--"), {"near_boundary in 0 at 57"}, 2},
        {"near closing boundary", mixed(part + "--b--x\r\n--b--"), {"near_boundary in 0 at 57"}, 2},
        {"half closing boundary", mixed(part + "--b-\r\n--b--"), {"near_boundary in 0 at 57"}, 2},
        {"near boundary twice",
         mixed(part + "--bx\r\n--by\r\n--b--"),
         {"near_boundary in 0 at 57"},
         2},
        {"padding",
         mixed(part + "--b" + std::string(998, ' ') + "\r\n\r\ny\r\n--b--" + "\t \r\n"),
         {},
         3},
        {"too much padding",
         mixed(part + "--b" + std::string(999, ' ') + "\r\n\r\ny\r\n--b--"),
         {"near_boundary in 0 at 57"},
         2},
        {"behind the end",
         mixed(part + "--b--\r\n" + part + "--b--\r\n"),
         {"boundary_after_end in 0 at 64"},
         2},
        {"no parts", mixed("x\r\n--b--"), {"no_parts in 0 at 55"}},
        {"no parts at all",
         mixed("x\r\n"),
         {"no_parts in 0 at 50", "no_closing_boundary in 0 at 50"}},
        {"no closing boundary", mixed(part), {"no_closing_boundary in 0 at 57"}, 2},
        {"ends with a boundary",
         mixed("--b"),
         {"unended_header in 1 at 50", "no_closing_boundary in 0 at 50"},
         2},
        {"encoded message",
         "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nQTog",
         {"encoded_message in 0 at 0"}},
        {"encoded multipart",
         "Content-Transfer-Encoding: base64\r\n" + mixed(part + "--b--"),
         {"encoded_multipart in 0 at 0"},
         2},
        {"partial", "Content-Type: message/partial\r\n\r\nx", {"partial_message in 0 at 0"}},
        {"external", "Content-Type: message/external-body\r\n\r\n", {"external_body in 0 at 0"}},
    };
}

TEST(MimeStreamer, SaysWhatIsUnclear) {
    for (const unclear_case& it : unclear_cases()) {
        SCOPED_TRACE(it.name);
        const recorder seen = record_every_way(it.text);
        EXPECT_EQ(seen.unclears, it.expected);
        EXPECT_EQ(seen.begun, it.parts);
    }
}

TEST(MimeStreamer, EndsAHeaderBeforeALineOverTheLimit) {
    stream_limits limits;
    limits.header_bytes_max = 10;
    const recorder seen = record_every_way("A: b\r\nCcc: d\r\n\r\n", limits);
    EXPECT_EQ(seen.unclears, lines{"long_header in 0 at 6"});
    EXPECT_EQ(seen.events[2], "header 0: A: b\r\n");
    EXPECT_EQ(seen.events[3], "body 0: Ccc: d\r\n\r\n");

    limits.header_bytes_max = 0;
    EXPECT_EQ(record_every_way("A: b\r\n\r\n", limits).unclears, lines{"long_header in 0 at 0"});
}

TEST(MimeStreamer, FindsABoundaryBehindAHeaderOverTheLimit) {
    stream_limits limits;
    limits.header_bytes_max = 60;
    const recorder seen = record_every_way(
        mixed("--b\r\nA: " + std::string(100, 'x') + "\r\n\r\n--b\r\n\r\ny\r\n--b--"), limits);
    EXPECT_EQ(seen.unclears, lines{"long_header in 1 at 52"});
    EXPECT_EQ(seen.begun, 3U);
}

TEST(MimeStreamer, BoundsFields) {
    stream_limits limits;
    limits.fields_max = 1;
    const recorder seen = record_every_way("A: b\r\n c\r\nC: d\r\n\r\n", limits);
    EXPECT_EQ(seen.unclears, lines{"too_many_fields in 0 at 10"});
    EXPECT_EQ(seen.events[3], "body 0: C: d\r\n\r\n");
}

TEST(MimeStreamer, BoundsDepth) {
    stream_limits limits;
    limits.depth_max = 1;
    const recorder seen = record_every_way(
        mixed("--b\r\n" + mixed("--i\r\n\r\nx\r\n--i--", "i") +
              "\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nA: b\r\n\r\n\r\n--b--"),
        limits);
    EXPECT_EQ(seen.unclears, (lines{"too_deep in 1 at 99", "too_deep in 2 at 153"}));
    EXPECT_EQ(seen.begun, 3U);
    EXPECT_EQ(seen.events[7], "body 1: --i\r\n\r\nx\r\n--i--");
}

TEST(MimeStreamer, BoundsParts) {
    stream_limits limits;
    limits.parts_max = 2;
    const recorder seen =
        record_every_way(mixed("--b\r\n\r\n1\r\n--b\r\n\r\n2\r\n--b--\r\n"), limits);
    EXPECT_EQ(seen.unclears,
              (lines{"too_many_parts in 0 at 62", "no_closing_boundary in 0 at 74"}));
    EXPECT_EQ(seen.events[10], "boundary 0: \r\n--b\r\n");
    EXPECT_EQ(seen.events[11], "body 0: \r\n2\r\n--b--\r\n");
    EXPECT_EQ(seen.begun, 2U);

    limits.parts_max = 1;
    const recorder message =
        record_every_way("Content-Type: message/rfc822\r\n\r\nA: b\r\n\r\n", limits);
    EXPECT_EQ(message.unclears, lines{"too_many_parts in 0 at 32"});
}

TEST(MimeStreamer, NestsNoDeeperThanTheLimit) {
    std::string text;
    for (int i = 0; i < 1000; ++i) {
        text += "Content-Type: message/rfc822\r\n\r\n";
    }
    const recorder seen = record(text, text.size(), 1);
    EXPECT_EQ(seen.begun, stream_limits{}.depth_max + 1);
    EXPECT_TRUE(seen.kinds.has(too_deep));
}

// Views into the chunk, so that a large body costs no copy.
TEST(MimeStreamer, CopiesNoBody) {
    class watcher final : public visitor {
    public:
        void bytes(const part&, region where, std::uint64_t, byte_view bytes) override {
            const bool inside = bytes.data() >= chunk.data() &&
                                bytes.data() + bytes.size() <= chunk.data() + chunk.size();
            if (where == region::body) {
                (inside ? in_chunk : copied) += bytes.size();
            }
        }

        byte_view chunk;
        std::size_t in_chunk = 0;
        std::size_t copied = 0;
    };

    watcher events;
    streamer scan(events);
    const std::string head = mixed("--b\r\n\r\n");
    scan.push(head);
    for (int i = 0; i < 100; ++i) {
        const std::string chunk = std::string(1000, 'x') + "\r\n--no\r\n" + std::string(1000, 'y');
        events.chunk = chunk;
        scan.push(chunk);
    }
    EXPECT_EQ(events.copied, 0U);
    EXPECT_EQ(events.in_chunk, 100U * 2008);
}

// What a rewriter does: all views but those of one body, and the rest is as it came.
TEST(MimeStreamer, LetsARewriterLeaveABodyOut) {
    class rewriter final : public visitor {
    public:
        void bytes(const part& it, region where, std::uint64_t, byte_view bytes) override {
            const std::vector<std::string>& names = it.content.names;
            const bool drops =
                where == region::body && std::ranges::find(names, "a.zip") != names.end();
            if (!drops) {
                out += bytes;
            }
        }

        std::string out;
    };

    const std::string head = mixed("--b\r\nContent-Type: application/zip; name=a.zip\r\n\r\n");
    const std::string tail = "\r\n--b\r\n\r\ntext\r\n--b--\r\n";
    const std::string message = head + "zip\r\nzip" + tail;
    for (std::size_t cut = 0; cut <= message.size(); ++cut) {
        rewriter events;
        streamer scan(events);
        scan.push(byte_view(message).substr(0, cut));
        scan.push(byte_view(message).substr(cut));
        scan.finish();
        EXPECT_EQ(events.out, head + tail) << cut;
    }
}

TEST(MimeStreamer, IsUsedAgainAfterClear) {
    recorder events;
    streamer scan(events);
    scan.push(mixed("--b\r\n\r\nx\r\n--"));
    EXPECT_EQ(events.begun, 2U);
    scan.clear();
    events = recorder();
    scan.push("A: b\r\n\r\nbody\r\n--b\r\n");
    scan.finish();
    EXPECT_EQ(events.events[1], "header 0 leaf text/plain [A| b]");
    EXPECT_EQ(events.events[3], "body 0: body\r\n--b\r\n");
}

} // namespace
} // namespace ebbgate::mime
