// Signs the messages of a folder for dkim_verifiers_test.py: dkim_sign FOLDER DOMAIN.
//
// Input   FOLDER/*.eml, raw; FOLDER/rsa.pem (selector r) and FOLDER/ed25519.pem (selector e).
// Output  FOLDER/*.signed: the two signatures in front, and a final CRLF when there was none, as
//         the gateway sends it. Forms, oversigning and lifetime change from one to the next. The
//         records go to stdout.

#include "ebbgate/dkim/signer.h"
#include "ebbgate/dkim/verifier.h"
#include "ebbgate/mail/header_scanner.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace {

using namespace ebbgate; // NOLINT(google-build-using-namespace): this file is the program

struct waiting_message {
    std::filesystem::path path;
    std::string text;
    std::array<dkim::prepared_signature, 2> prepared;
};

std::string read_all(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

dkim::signer signer_for(const dkim::key_pointer& key, const std::string& domain, unsigned variant) {
    dkim::signing_settings settings;
    settings.domain = domain;
    settings.selector.assign(1, key->type() == dkim::key_type::rsa ? 'r' : 'e');
    settings.key = key;
    settings.header_form =
        variant % 2 == 0 ? dkim::canonicalization::relaxed : dkim::canonicalization::simple;
    settings.body_form =
        variant / 2 % 2 == 0 ? dkim::canonicalization::relaxed : dkim::canonicalization::simple;
    settings.lifetime_s = variant / 4 % 2 == 0 ? 0 : 7 * 24 * 3600;
    if (variant / 8 % 2 != 0) {
        settings.identity.append("list@mail.").append(domain);
    }
    auto made = dkim::signer::make(settings);
    if (!made) {
        std::fprintf(stderr, "%s\n", made.error().detail.c_str());
        std::exit(1);
    }
    return std::move(*made);
}

waiting_message prepare(const std::filesystem::path& path,
                        const std::array<dkim::key_pointer, 2>& keys,
                        const std::string& domain,
                        unsigned variant) {
    waiting_message message;
    message.path = path;
    message.text = read_all(path);
    // The scanner reads wire form; a dot that starts a line is stuffed there.
    mail::header_scanner header;
    std::size_t body = message.text.size();
    if (const std::size_t split = message.text.find("\r\n\r\n"); split != std::string::npos) {
        body = split + 4;
    }
    header.feed(byte_view(message.text).substr(0, body));
    header.finish();
    const auto fields = dkim::raw_fields(header);
    for (std::size_t i = 0; i < keys.size(); ++i) {
        const dkim::signer made = signer_for(keys[i], domain, variant);
        dkim::body_hasher hasher(made.body_form());
        const byte_view rest = byte_view(message.text).substr(body);
        const std::size_t step = variant % 50 + 1;
        for (std::size_t at = 0; at < rest.size(); at += step) {
            hasher.feed(rest.substr(at, step));
        }
        message.prepared[i] = made.prepare(fields, hasher.digest(), std::time(nullptr));
    }
    return message;
}

void sign_and_write(std::vector<waiting_message>& waiting) {
    std::vector<dkim::prepared_signature*> batch;
    for (waiting_message& message : waiting) {
        for (dkim::prepared_signature& one : message.prepared) {
            batch.push_back(&one);
        }
    }
    dkim::sign(batch);
    for (waiting_message& message : waiting) {
        std::ofstream out(message.path.replace_extension(".signed"), std::ios::binary);
        out << message.prepared[0].field() << message.prepared[1].field() << message.text;
        if (!message.text.ends_with("\r\n")) {
            out << "\r\n";
        }
    }
    waiting.clear();
}

} // namespace

int main(int argc, char** argv) {
    if (argc != 3) {
        return 2;
    }
    const std::filesystem::path folder = argv[1];
    const auto rsa = dkim::load_key(folder / "rsa.pem");
    const auto ed25519 = dkim::load_key(folder / "ed25519.pem");
    if (!rsa || !ed25519) {
        return 1;
    }
    std::printf("%s\n%s\n", record_text(**rsa).c_str(), record_text(**ed25519).c_str());
    std::vector<std::filesystem::path> paths;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        if (entry.path().extension() == ".eml") {
            paths.push_back(entry.path());
        }
    }
    std::ranges::sort(paths);
    std::vector<waiting_message> waiting;
    for (unsigned i = 0; i < paths.size(); ++i) {
        waiting.push_back(prepare(paths[i], {*rsa, *ed25519}, argv[2], i));
        if (waiting.size() == dkim::batch_max) {
            sign_and_write(waiting);
        }
    }
    sign_and_write(waiting);
    return 0;
}
