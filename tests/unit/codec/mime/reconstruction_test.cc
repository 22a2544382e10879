// Whatever the bytes, and however they are cut: the views are the message, and the events the same.
// Over the corpus of MIME messages where it is present, and over mutations of it.

#include "recorder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

namespace ebbgate::mime {
namespace {

namespace fs = std::filesystem;

// With the line ends of SMTP.
std::string message_in(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    const std::string raw{std::istreambuf_iterator<char>(file), {}};
    std::string text;
    for (const char c : raw) {
        if (c == '\n' && !text.ends_with('\r')) {
            text += '\r';
        }
        text += c;
    }
    return text;
}

std::vector<std::string> corpus() {
    std::vector<std::string> messages;
    const char* corpora = std::getenv("EBBGATE_CORPORA");
    if (corpora == nullptr || !fs::is_directory(fs::path(corpora) / "mime")) {
        return messages;
    }
    std::vector<fs::path> paths;
    for (const auto& file : fs::recursive_directory_iterator(fs::path(corpora) / "mime")) {
        if (file.path().extension() == ".msg") {
            paths.push_back(file.path());
        }
    }
    std::ranges::sort(paths);
    std::ranges::transform(paths, std::back_inserter(messages), message_in);
    return messages;
}

TEST(MimeReconstruction, GivesEachMessageOfTheCorpusBack) {
    const std::vector<std::string> messages = corpus();
    if (messages.empty()) {
        std::cout << "skipped: corpus not present\n";
        GTEST_SKIP() << "skipped: corpus not present";
    }
    EXPECT_GE(messages.size(), 80U);
    for (const std::string& message : messages) {
        const recorder whole = record(message, message.size(), 1);
        for (const std::size_t bytes : {1U, 13U, 64U, 1000U}) {
            expect_same(record(message, bytes, bytes), whole, std::to_string(bytes));
        }
    }
}

std::vector<std::string> seeds() {
    std::vector<std::string> out = corpus();
    std::erase_if(out, [](const std::string& message) { return message.size() > 8 * kib; });
    out.push_back(
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
        "Content-Type: multipart/digest; boundary=\"b:c\"\r\n\r\n--b:c\r\n\r\nA: b\r\n"
        "\r\nx\r\n--b:c--\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: a\r\n"
        "Content-Type: multipart/alternative; boundary=bb\r\n\r\n--bb\r\n\r\n\r\n--bb--\r\n"
        "--b--\r\n");
    return out;
}

std::string mutated(std::string text, std::mt19937& random) {
    static const std::vector<std::string> pieces{"\r\n",
                                                 "\r",
                                                 "\n",
                                                 "--",
                                                 "\r\n--b\r\n",
                                                 "--b--",
                                                 "\r\n\r\n",
                                                 ":",
                                                 " ",
                                                 "-",
                                                 "Content-Type: multipart/mixed; boundary=b\r\n",
                                                 "Content-Type: message/rfc822\r\n",
                                                 std::string(1, '\0'),
                                                 "\xff",
                                                 "\r\n--b--\r\n",
                                                 ";",
                                                 "\""};
    const std::size_t changes = random() % 8 + 1;
    for (std::size_t i = 0; i < changes && !text.empty(); ++i) {
        const std::size_t at = random() % text.size();
        switch (random() % 3) {
        case 0:
            text.erase(at, random() % 20);
            break;
        case 1:
            text.insert(at, pieces[random() % pieces.size()]);
            break;
        default:
            text.insert(at, text.substr(random() % text.size(), random() % 60));
        }
    }
    return text;
}

TEST(MimeReconstruction, GivesMutatedMessagesBack) {
    const std::vector<std::string> messages = seeds();
    std::mt19937 random(4);
    for (int round = 0; round < 3000 && !testing::Test::HasFailure(); ++round) {
        const std::string message = mutated(messages[random() % messages.size()], random);
        stream_limits limits;
        if (round % 2 != 0) {
            limits.depth_max = static_cast<std::uint32_t>(random() % 5);
            limits.parts_max = static_cast<std::uint32_t>(random() % 5 + 1);
            limits.header_bytes_max = random() % 300;
            limits.fields_max = random() % 5;
        }
        const recorder whole = record(message, message.size(), 1, limits);
        expect_same(
            record(message, random() % 100 + 1, random() % 100 + 1, limits), whole, message);
    }
}

} // namespace
} // namespace ebbgate::mime
