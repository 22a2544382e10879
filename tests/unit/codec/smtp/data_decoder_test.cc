// Every wire form is decoded whole, split at each possible byte, and byte by byte. All must agree,
// because a peer chooses where TCP segments end, not us.

#include "ebbgate/smtp/data_decoder.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace ebbgate::smtp {
namespace {

struct decoded {
    std::string message;
    std::size_t consumed_bytes = 0;
    std::uint32_t stuffed_dots = 0;
    bool complete = false;
    std::optional<data_fault> fault;

    bool operator==(const decoded&) const = default;
};

decoded decode(byte_view wire, const std::vector<std::size_t>& cuts) {
    data_decoder decoder;
    decoded out;
    std::size_t start = 0;
    for (std::size_t i = 0; i <= cuts.size() && !out.complete && !out.fault; ++i) {
        const std::size_t end = i < cuts.size() ? cuts[i] : wire.size();
        const std::string chunk(wire.substr(start, end - start));
        const data_step step = decoder.feed(chunk);
        start += step.consumed_bytes;
        out.message += step.carry;
        out.message += step.message;
        out.consumed_bytes += step.consumed_bytes;
        out.stuffed_dots += step.stuffed_dots;
        out.complete = step.complete;
        out.fault = step.fault;
        EXPECT_TRUE(out.complete || out.fault || step.consumed_bytes == chunk.size());
        EXPECT_EQ(step.message, byte_view(chunk).substr(0, step.message.size()));
    }
    return out;
}

std::vector<std::size_t> everywhere(std::size_t bytes) {
    std::vector<std::size_t> cuts;
    for (std::size_t cut = 1; cut < bytes; ++cut) {
        cuts.push_back(cut);
    }
    return cuts;
}

struct wire_case {
    const char* name;
    std::string wire;
    std::string message;
    std::size_t consumed_bytes;
    std::uint32_t stuffed_dots;
};

std::vector<wire_case> accepted() {
    const std::string padding(61, 'x');
    return {
        {"empty message", ".\r\n", "", 3, 0},
        {"one line", "hello\r\n.\r\n", "hello\r\n", 10, 0},
        {"empty line", "\r\n.\r\n", "\r\n", 5, 0},
        {"stuffed dot stays stuffed", "..hidden\r\n.\r\n", "..hidden\r\n", 13, 1},
        {"stuffed end mark", "..\r\n.\r\n", "..\r\n", 7, 1},
        {"dot that was not stuffed", ".x\r\n.\r\n", ".x\r\n", 7, 1},
        {"dots within", "a.\r\nb..c\r\n.\r\n", "a.\r\nb..c\r\n", 13, 0},
        {"pipelined QUIT is left alone", "a\r\n.\r\nQUIT\r\n", "a\r\n", 6, 0},
        {"NUL and eight bits",
         std::string("\0\xff\r\n.\r\n", 7),
         std::string("\0\xff\r\n", 4),
         7,
         0},
        {"end mark over a block border", padding + "\r\n.\r\n", padding + "\r\n", 66, 0},
        {"several blocks",
         padding + padding + padding + "\r\n..\r\n" + padding + "\r\n.\r\n",
         padding + padding + padding + "\r\n..\r\n" + padding + "\r\n",
         255,
         1},
    };
}

TEST(DataDecoder, AcceptedFormsSurviveAnySplit) {
    for (const wire_case& c : accepted()) {
        SCOPED_TRACE(c.name);
        const decoded wanted{c.message, c.consumed_bytes, c.stuffed_dots, true, std::nullopt};
        for (std::size_t cut = 0; cut <= c.wire.size(); ++cut) {
            ASSERT_EQ(decode(c.wire, {cut}), wanted) << "cut at " << cut;
        }
        EXPECT_EQ(decode(c.wire, everywhere(c.wire.size())), wanted);
    }
}

TEST(DataDecoder, NoOtherEndMarkIsRecognised) {
    // The forms of the SMTP smuggling papers, and those that some servers took for an end.
    for (const byte_view wire : {byte_view("a\n.\n"),
                                 byte_view("a\r\n.\n"),
                                 byte_view("a\n.\r\n"),
                                 byte_view("a\r.\r"),
                                 byte_view("a\r\n.\r\r\n"),
                                 byte_view("a\r\n.\rQUIT\r\n"),
                                 byte_view("a\r.\r\n"),
                                 byte_view("\r\n\r.\r\n"),
                                 byte_view("a\r\r\n.\r\n"),
                                 byte_view(".\n"),
                                 byte_view("\n"),
                                 byte_view("a\r\0\n.\r\n", 8)}) {
        for (std::size_t cut = 0; cut <= wire.size(); ++cut) {
            const decoded out = decode(wire, {cut});
            EXPECT_TRUE(out.fault.has_value()) << wire;
            EXPECT_FALSE(out.complete) << wire;
        }
    }
}

TEST(DataDecoder, ADotWithNulIsNoEndMark) {
    const byte_view wire("a\r\n.\0\r\n.\r\n", 10);
    EXPECT_EQ(decode(wire, {}).message, wire.substr(0, 7));
}

// One byte at a time, as the specification reads.
decoded reference(byte_view wire) {
    decoded out;
    enum class state { line_start, in_line, cr, dot, dot_cr } state = state::line_start;
    for (const char c : wire) {
        switch (state) {
        case state::line_start:
        case state::in_line:
            if (c == '\n') {
                out.fault = data_fault::bare_lf;
                return out;
            }
            if (c == '.' && state == state::line_start) {
                state = state::dot;
                break;
            }
            out.message += c;
            state = c == '\r' ? state::cr : state::in_line;
            break;
        case state::cr:
            if (c != '\n') {
                out.fault = data_fault::bare_cr;
                return out;
            }
            out.message += c;
            state = state::line_start;
            break;
        case state::dot:
            if (c == '\r') {
                state = state::dot_cr;
                break;
            }
            out.message += '.';
            ++out.stuffed_dots;
            if (c == '\n') {
                out.fault = data_fault::bare_lf;
                return out;
            }
            out.message += c;
            state = state::in_line;
            break;
        case state::dot_cr:
            ++out.consumed_bytes;
            if (c == '\n') {
                out.complete = true;
                return out;
            }
            out.fault = data_fault::bare_cr;
            return out;
        }
        ++out.consumed_bytes;
    }
    return out;
}

std::string random_text(std::mt19937& random) {
    static constexpr byte_view pieces[] = {"\r\n",
                                           "\r\n",
                                           "\r\n.",
                                           "..",
                                           ".",
                                           "text",
                                           "\r\n..\r\n",
                                           "a line of some length that fills a block soon"};
    std::string text;
    const std::size_t count = random() % 40;
    for (std::size_t i = 0; i < count; ++i) {
        text += pieces[random() % std::size(pieces)];
        if (random() % 100 == 0) {
            text += random() % 2 == 0 ? '\r' : '\n';
        }
    }
    return text + "\r\n.\r\nREST";
}

TEST(DataDecoder, AgreesWithAReferenceOnRandomText) {
    std::mt19937 random(20261124);
    for (int round = 0; round < 20000; ++round) {
        const std::string wire = random_text(random);
        const decoded wanted = reference(wire);
        const std::size_t cut = random() % (wire.size() + 1);
        for (const decoded& got : {decode(wire, {}), decode(wire, {cut})}) {
            ASSERT_EQ(got.complete, wanted.complete) << wire;
            ASSERT_EQ(got.fault, wanted.fault) << wire;
            if (wanted.complete) {
                ASSERT_EQ(got.message, wanted.message) << wire;
                ASSERT_EQ(got.consumed_bytes, wanted.consumed_bytes) << wire;
                ASSERT_EQ(got.stuffed_dots, wanted.stuffed_dots) << wire;
            }
        }
    }
}

struct stuffed {
    std::string wire;
    std::optional<data_fault> fault;

    bool operator==(const stuffed&) const = default;
};

stuffed stuff(byte_view raw, std::size_t cut) {
    bdat_stuffer stuffer;
    stuffed out;
    for (byte_view chunk : {raw.substr(0, cut), raw.substr(cut)}) {
        while (!chunk.empty() && !out.fault) {
            const stuffing_step step = stuffer.next(chunk);
            out.wire += step.output;
            out.fault = step.fault;
            chunk.remove_prefix(step.consumed_bytes);
        }
    }
    if (!out.fault) {
        const stuffing_step end = stuffer.finish();
        out.wire += end.output;
        out.fault = end.fault;
    }
    return out;
}

std::string unstuff(byte_view wire, std::size_t cut) {
    dot_unstuffer unstuffer;
    std::string out;
    for (byte_view chunk : {wire.substr(0, cut), wire.substr(cut)}) {
        while (!chunk.empty()) {
            const stuffing_step step = unstuffer.next(chunk);
            EXPECT_FALSE(step.fault.has_value());
            out += step.output;
            chunk.remove_prefix(step.consumed_bytes);
        }
    }
    return out;
}

TEST(BdatStuffer, DotsAreStuffedOverAnyChunkBorder) {
    struct stuffing_case {
        const char* name;
        byte_view raw;
        byte_view wire;
    };

    for (const stuffing_case& c : {
             stuffing_case{"nothing", "", ""},
             stuffing_case{"a line", "a\r\n", "a\r\n"},
             stuffing_case{"no final CRLF", "a", "a\r\n"},
             stuffing_case{"a dot", ".", "..\r\n"},
             stuffing_case{"an end mark", "a\r\n.\r\nQUIT\r\n", "a\r\n..\r\nQUIT\r\n"},
             stuffing_case{"two dots", "..\r\n..", "...\r\n...\r\n"},
         }) {
        for (std::size_t cut = 0; cut <= c.raw.size(); ++cut) {
            SCOPED_TRACE(std::string(c.name) + ", cut at " + std::to_string(cut));
            EXPECT_EQ(stuff(c.raw, cut), (stuffed{std::string(c.wire), std::nullopt}));
        }
        for (std::size_t cut = 0; cut <= c.wire.size(); ++cut) {
            const std::string raw = unstuff(c.wire, cut);
            EXPECT_EQ(raw.substr(0, c.raw.size()), c.raw);
            EXPECT_TRUE(raw == c.raw || raw == std::string(c.raw) + "\r\n");
        }
    }
}

TEST(BdatStuffer, BareLineEndingsAreFaults) {
    for (const byte_view raw : {"a\nb", "a\rb", "a\r", "\n", "a\r\r\n"}) {
        for (std::size_t cut = 0; cut <= raw.size(); ++cut) {
            EXPECT_TRUE(stuff(raw, cut).fault.has_value()) << raw;
        }
    }
}

} // namespace
} // namespace ebbgate::smtp
