// The messages of Mail::DKIM, which the verifier did not choose: each must come out as its name
// says. They are from 2006 to 2009, so obsolete versions, rsa-sha1 and short keys are let through.

#include "ebbgate/dkim/signer.h"
#include "ebbgate/dkim/verifier.h"
#include "ebbgate/mail/header_scanner.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

namespace ebbgate::dkim {
namespace {

namespace fs = std::filesystem;

// EBBGATE_CORPORA names the folder; otherwise a sibling `shared/corpora` of the source tree.
fs::path corpus_folder() {
    if (const char* named = std::getenv("EBBGATE_CORPORA"); named != nullptr) {
        return fs::path(named) / "dkim";
    }
    for (fs::path at = fs::absolute(__FILE__).parent_path(); at.has_relative_path();
         at = at.parent_path()) {
        const fs::path candidate = at / "shared" / "corpora" / "dkim";
        if (fs::is_directory(candidate)) {
            return candidate;
        }
    }
    return {};
}

std::string read_all(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

using zone = std::map<std::string, std::string>;

zone read_zone(const fs::path& path) {
    zone records;
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
        const std::size_t blank = line.find(' ');
        if (line.empty() || line.front() == '#' || blank == std::string::npos) {
            continue;
        }
        const std::size_t text = line.find_first_not_of(' ', blank);
        records[line.substr(0, blank)] = line.substr(text);
    }
    return records;
}

void answer(verifier& judged, std::size_t index, const zone& records) {
    const auto found = records.find(judged.key_name(index));
    std::vector<std::string> texts;
    if (found != records.end() && found->second.starts_with("~~")) {
        return; // DNS did not answer.
    }
    if (found != records.end() && found->second != "NXDOMAIN") {
        texts.push_back(found->second == "\"\"" ? "" : found->second);
    }
    judged.set_key(index, texts);
}

std::string wire_form(const std::string& text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\n' && (i == 0 || text[i - 1] != '\r')) {
            out += '\r';
        }
        out += text[i];
    }
    return out;
}

std::vector<verdict> judge(const std::string& text, const zone& records) {
    const std::string message = wire_form(text);
    // An empty line first ends the header for the scanner too; dots are stuffed for it alone.
    std::string wire;
    for (std::size_t at = 0; at < message.size();) {
        const std::size_t end = std::min(message.find('\n', at), message.size() - 1) + 1;
        wire += message[at] == '.' ? "." : "";
        wire.append(message, at, end - at);
        at = end;
    }
    mail::header_scanner header;
    header.feed(wire);
    header.finish();
    const std::size_t split = message.find("\r\n\r\n");
    verifier_settings settings;
    settings.rsa_bits_min = 512;
    settings.allow = leniency::obsolete;
    settings.now_unix_s = 1'800'000'000;
    verifier judged(settings);
    judged.take_header(raw_fields(header));
    if (split != std::string::npos) {
        judged.feed_body(byte_view(message).substr(split + 4));
    }
    judged.finish_body();
    std::vector<verdict> verdicts;
    for (std::size_t i = 0; i < judged.count(); ++i) {
        answer(judged, i, records);
        verdicts.push_back(judged.verdict(i));
    }
    return verdicts;
}

std::string shown(const std::vector<verdict>& verdicts) {
    std::string text;
    for (const verdict& one : verdicts) {
        text += std::string(to_text(one.outcome)) + '/' + std::string(to_text(one.reason)) + ' ';
    }
    return text;
}

// Where a name says something else than RFC 6376, and why.
const std::map<std::string, std::string> exceptions = {
    // draft-ietf-dkim-base-00 had no bh=.
    {"good_ietf00_1", "permerror/missing_tag "},
    {"good_ietf00_2", "permerror/missing_tag "},
    {"good_ietf00_3", "permerror/missing_tag "},
    {"good_ietf00_4", "permerror/missing_tag "},
    {"good_ietf00_5", "permerror/missing_tag "},
    // g= of RFC 4871, which RFC 6376 took away.
    {"badkey_8", "pass/none "},
    {"badkey_9", "pass/none "},
    {"badkey_12", "pass/none "},
    {"badkey_13", "pass/none "},
    // The key is good; the message was changed.
    {"badkey2_ed25519", "fail/signature "},
    {"badkey3_ed25519", "fail/body_hash "},
    {"ignore_7", "fail/expired "},
    {"ignore_8", "permerror/foreign_identity "},
    {"multiple_1", "fail/signature pass/none permerror/syntax fail/signature "},
    {"multiple_2", "neutral/canonicalization pass/none fail/signature permerror/syntax "},
};

TEST(corpus, comes_out_as_its_names_say) {
    const fs::path folder = corpus_folder();
    if (folder.empty() || !fs::is_directory(folder)) {
        std::cout << "skipped: corpus not present\n";
        GTEST_SKIP() << "skipped: corpus not present";
    }
    const zone records = read_zone(folder / "FAKE_DNS.dat");
    std::size_t files = 0;
    for (const auto& file : fs::directory_iterator(folder / "mail-dkim")) {
        const std::string name = file.path().stem().string();
        const std::string found = shown(judge(read_all(file.path()), records));
        ++files;
        const auto exception = exceptions.find(name);
        if (exception != exceptions.end()) {
            EXPECT_EQ(found, exception->second) << name;
        } else if (name.find("dk_") != std::string::npos) {
            EXPECT_EQ(found, "") << name; // DomainKeys, not DKIM.
        } else if (name.starts_with("good") || name.starts_with("mine_") ||
                   name.starts_with("no_body_")) {
            EXPECT_EQ(found, "pass/none ") << name;
        } else if (name.starts_with("bad_")) {
            EXPECT_TRUE(found.starts_with("fail/")) << name << ": " << found;
        } else if (name.starts_with("badkey")) {
            EXPECT_TRUE(found.starts_with("permerror/key_") || found.starts_with("temperror/key_"))
                << name << ": " << found;
        } else {
            EXPECT_TRUE(name.starts_with("ignore_")) << name;
            EXPECT_TRUE(found.starts_with("neutral/")) << name << ": " << found;
        }
    }
    EXPECT_EQ(files, 79U);
}

} // namespace
} // namespace ebbgate::dkim
