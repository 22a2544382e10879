#include "ebbgate/smtp/line_reader.h"

#include <gtest/gtest.h>

#include <vector>

namespace ebbgate::smtp {
namespace {

struct event {
    line_outcome outcome = line_outcome::need_more;
    std::string line;

    bool operator==(const event&) const = default;
};

std::vector<event> read_all(byte_view wire, const std::vector<std::size_t>& cuts, line_kind kind) {
    line_reader reader;
    std::vector<event> events;
    std::size_t start = 0;
    for (std::size_t i = 0; i <= cuts.size(); ++i) {
        const std::size_t end = i < cuts.size() ? cuts[i] : wire.size();
        byte_view chunk = wire.substr(start, end - start);
        start = end;
        while (!chunk.empty()) {
            // A copy of its own, so that a sanitizer sees a view that is kept too long.
            const std::string copy(chunk);
            const line_step step = reader.next(copy, kind);
            if (step.outcome != line_outcome::need_more) {
                const bool good = step.outcome == line_outcome::line;
                events.push_back({step.outcome, good ? std::string(step.line) : ""});
            }
            chunk.remove_prefix(step.consumed_bytes);
            if (step.outcome == line_outcome::endless) {
                return events;
            }
        }
    }
    return events;
}

struct reader_case {
    const char* name;
    std::string wire;
    std::vector<event> events;
};

std::vector<reader_case> cases() {
    using enum line_outcome;
    const std::string long_command(command_line_bytes_max - 2, 'a');
    const std::string long_auth = "auth " + std::string(sasl_line_bytes_max - 7, 'b');
    return {
        {"one line", "NOOP\r\n", {{line, "NOOP"}}},
        {"empty line", "\r\n", {{line, ""}}},
        {"pipelined", "A\r\nBB\r\nCCC\r\n", {{line, "A"}, {line, "BB"}, {line, "CCC"}}},
        {"unfinished", "A\r\nBB", {{line, "A"}}},
        {"bare LF", "A\nB\r\n", {{bare_lf, ""}, {line, "B"}}},
        {"bare CR", "A\rB\r\nC\r\n", {{bare_cr, ""}, {line, "C"}}},
        {"doubled CR", "A\r\r\nC\r\n", {{bare_cr, ""}, {line, "C"}}},
        {"LF alone", "\nC\r\n", {{bare_lf, ""}, {line, "C"}}},
        {"longest command", long_command + "\r\nB\r\n", {{line, long_command}, {line, "B"}}},
        {"command too long", long_command + "a\r\nB\r\n", {{too_long, ""}, {line, "B"}}},
        {"longest AUTH", long_auth + "\r\nB\r\n", {{line, long_auth}, {line, "B"}}},
        {"AUTH too long", long_auth + "b\r\nB\r\n", {{too_long, ""}, {line, "B"}}},
        {"endless", std::string(line_discard_bytes_max + 10, 'x'), {{endless, ""}}},
    };
}

TEST(LineReader, LinesAreTheSameHoweverTheyAreCut) {
    for (const reader_case& c : cases()) {
        SCOPED_TRACE(c.name);
        EXPECT_EQ(read_all(c.wire, {}, line_kind::command), c.events);
        const std::size_t step = c.wire.size() > 1000 ? 97 : 1;
        for (std::size_t cut = 0; cut <= c.wire.size(); cut += step) {
            ASSERT_EQ(read_all(c.wire, {cut}, line_kind::command), c.events) << "cut at " << cut;
        }
        std::vector<std::size_t> everywhere;
        for (std::size_t cut = 1; cut < c.wire.size(); ++cut) {
            everywhere.push_back(cut);
        }
        EXPECT_EQ(read_all(c.wire, everywhere, line_kind::command), c.events);
    }
}

TEST(LineReader, AnAnswerTo334MayBeAsLongAsAuth) {
    const std::string answer(sasl_line_bytes_max - 2, 'c');
    EXPECT_EQ(read_all(answer + "\r\n", {5, 3000}, line_kind::sasl),
              (std::vector<event>{{line_outcome::line, answer}}));
}

TEST(LineReader, AWholeLineIsAViewOfTheChunk) {
    line_reader reader;
    const std::string chunk = "NOOP\r\nQUIT\r\n";
    const line_step step = reader.next(chunk, line_kind::command);
    EXPECT_EQ(step.line.data(), chunk.data());
    EXPECT_EQ(step.consumed_bytes, 6U);
    EXPECT_FALSE(reader.in_line());
}

} // namespace
} // namespace ebbgate::smtp
