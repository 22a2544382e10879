#include "runtime/tls/trust_store.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

namespace ebbgate::tls {

namespace {

namespace fs = std::filesystem;

std::string read_file(const fs::path& path) {
    std::error_code error;
    if (!fs::is_regular_file(path, error)) { // A pipe would be waited for.
        return {};
    }
    const auto bytes = fs::file_size(path, error);
    if (error || bytes > trust_store::bundle_bytes_max) {
        return {};
    }
    std::string text(bytes, '\0');
    std::ifstream file(path, std::ios::binary);
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(file.gcount()));
    return text;
}

} // namespace

result<std::shared_ptr<const trust_store>> trust_store::load(const std::string& path) {
    std::error_code error;
    std::vector<fs::path> files;
    if (!fs::is_directory(path, error)) {
        files.emplace_back(path);
    } else if (const fs::path bundle = fs::path(path) / "ca-certificates.crt";
               fs::exists(bundle, error)) {
        files.push_back(bundle);
    } else {
        for (fs::directory_iterator entry(path, error), end; !error && entry != end;
             entry.increment(error)) {
            files.push_back(entry->path());
        }
    }
    auto made = std::make_shared<trust_store>();
    for (const fs::path& file : files) {
        for (const std::string& der : certificates_of_pem(read_file(file))) {
            if (auto parsed = parse_authority(der)) {
                made->add(std::move(*parsed));
            }
        }
    }
    if (made->size() == 0) {
        return fail(failure_kind::bad_input, path + ": no readable certificate authorities");
    }
    return std::shared_ptr<const trust_store>(std::move(made));
}

void trust_store::add(certificate authority) {
    if (holds(authority)) {
        return;
    }
    ++count_;
    std::string subject = authority.subject;
    by_subject_[std::move(subject)].push_back(std::move(authority));
}

const std::vector<certificate>* trust_store::find(const std::string& subject) const {
    const auto found = by_subject_.find(subject);
    return found == by_subject_.end() ? nullptr : &found->second;
}

bool trust_store::holds(const certificate& certificate) const {
    const auto* same_name = find(certificate.subject);
    return same_name != nullptr &&
           std::any_of(same_name->begin(), same_name->end(), [&](const auto& known) {
               return known.der == certificate.der;
           });
}

} // namespace ebbgate::tls
