// Prints what the verifier says of a message, for comparison with other projects' corpora:
// dkim_verdicts NOW BITS_MIN [NAME RECORD]...
//
// Input   The message in standard input, with CRLF; the TXT records of its keys as arguments.
// Output  A line a signature, from the top: the outcome and the reason with obsolete forms let
//         through, the two without, and the name of its key, which may be empty.

#include "ebbgate/dkim/signer.h"
#include "ebbgate/dkim/verifier.h"
#include "ebbgate/mail/header_scanner.h"

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

namespace {

using namespace ebbgate; // NOLINT(google-build-using-namespace): this file is the program

using zone = std::map<std::string, std::vector<std::string>>;

struct judged_signature {
    dkim::verdict verdict;
    std::string key_name;
};

struct message {
    mail::header_scanner header;
    byte_view body;
};

// The scanner reads wire form: a dot that starts a line is stuffed there.
void split(byte_view text, message& out) {
    std::size_t body = text.size();
    if (const std::size_t at = text.find("\r\n\r\n"); at != byte_view::npos) {
        body = at + 4;
    }
    std::string wire;
    for (std::size_t i = 0; i < body; ++i) {
        if (text[i] == '.' && (i == 0 || text[i - 1] == '\n')) {
            wire += '.';
        }
        wire += text[i];
    }
    out.header.feed(wire);
    out.header.finish();
    out.body = text.substr(body);
}

std::vector<judged_signature>
judge(const message& of, const zone& records, const dkim::verifier_settings& settings) {
    dkim::verifier verifier(settings);
    verifier.take_header(dkim::raw_fields(of.header));
    verifier.feed_body(of.body);
    verifier.finish_body();
    std::vector<judged_signature> found;
    for (std::size_t i = 0; i < verifier.count(); ++i) {
        const std::string name = verifier.key_name(i);
        const auto texts = records.find(name);
        verifier.set_key(i, texts == records.end() ? std::vector<std::string>() : texts->second);
        found.push_back({verifier.verdict(i), name});
    }
    return found;
}

std::string shown(const dkim::verdict& verdict) {
    return std::string(to_text(verdict.outcome)) + ' ' + std::string(to_text(verdict.reason));
}

} // namespace

int main(int argc, char** argv) {
    if (argc < 3 || argc % 2 == 0) {
        return 2;
    }
    zone records;
    for (int i = 3; i < argc; i += 2) {
        records[argv[i]].emplace_back(argv[i + 1]);
    }
    const std::string text{std::istreambuf_iterator<char>(std::cin), {}};
    message read;
    split(text, read);
    dkim::verifier_settings settings;
    settings.signatures_max = 100; // All that a corpus puts into one message.
    settings.now_unix_s = std::strtoll(argv[1], nullptr, 10);
    settings.rsa_bits_min = std::strtoull(argv[2], nullptr, 10);
    const auto strict = judge(read, records, settings);
    settings.allow = dkim::leniency::obsolete;
    const auto lenient = judge(read, records, settings);
    for (std::size_t i = 0; i < strict.size(); ++i) {
        std::printf("%s %s %s\n",
                    shown(lenient[i].verdict).c_str(),
                    shown(strict[i].verdict).c_str(),
                    lenient[i].key_name.c_str());
    }
    return 0;
}
