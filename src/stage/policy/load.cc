#include "stage/policy/builder.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <filesystem>

namespace ebbgate::policy {

namespace {

constexpr std::string_view globals_name = "policy.json";
constexpr std::string_view suffix = ".json";

// Twice what a million senders and a hundred thousand accounts need, and no key that a fault could
// not name on a line.
constexpr json::parse_limits file_limits = {
    .values_max = 2'500'000, .members_max = 65'536, .key_bytes_max = 1024};

std::uint64_t folded(std::uint64_t fingerprint, std::string_view text) {
    return XXH3_64bits_withSeed(text.data(), text.size(), fingerprint);
}

// Changes made by command are part of what is in force.
std::uint64_t folded(std::uint64_t fingerprint, const overlay& changes) {
    const auto fold = [&fingerprint](std::string_view text) {
        fingerprint = folded(fingerprint, text);
    };
    for (const overlay_account& one : changes.accounts) {
        fold(one.removed ? "-account" : "+account");
        fold(one.tenant);
        fold(one.login);
        fold(one.password_hash);
    }
    for (const overlay_sender& one : changes.senders) {
        fold(one.removed ? "-sender" : "+sender");
        fold(one.tenant);
        fold(one.pattern);
    }
    for (const overlay_limit& one : changes.limits) {
        fold(one.rule);
        fold(one.subject);
        fold(one.rate);
        fold(std::to_string(one.expires_unix_s));
    }
    return fingerprint;
}

// The tenants' files. What cannot be looked at stays in the list, so that reading it tells.
std::expected<std::vector<std::string>, config::faults> tenant_files(const std::string& folder) {
    std::vector<std::string> names;
    std::error_code error;
    std::filesystem::directory_iterator at(folder, error);
    for (; !error && at != std::filesystem::directory_iterator(); at.increment(error)) {
        const std::string name = at->path().filename().string();
        if (name.starts_with('.') || !name.ends_with(suffix) || name == globals_name) {
            continue;
        }
        std::error_code unknown;
        const auto status = at->status(unknown); // Of what a symbolic link leads to.
        if (!unknown && std::filesystem::exists(status) &&
            !std::filesystem::is_regular_file(status)) {
            continue;
        }
        if (names.size() >= tenants_max) {
            return std::unexpected(config::faults{
                {folder, 0, "", fmt::format("expected at most {} files", tenants_max)}});
        }
        names.push_back(name);
    }
    if (error) {
        return std::unexpected(
            config::faults{{folder, 0, "", fmt::format("cannot be read: {}", error.message())}});
    }
    std::sort(names.begin(), names.end());
    return names;
}

} // namespace

void snapshot_builder::add_faults(const config::faults& faults) {
    faults_.insert(faults_.end(), faults.begin(), faults.end());
}

void snapshot_builder::read_text(std::string text, const std::string& file, file_role role) {
    reader_ = config::reader(file);
    built_->files_.push_back(file);
    if (role == file_role::tenant) {
        // A tenant's name is in its file, so the file's name changes nothing.
        built_->fingerprint_ = folded(built_->fingerprint_, text);
    } else {
        built_->fingerprint_ = XXH3_64bits(text.data(), text.size());
        // Tenants, who may add senders by command, cannot know it: none can aim at one slot.
        built_->senders_ = sender_table(built_->fingerprint_);
    }
    const auto document = json::document::parse_owned(std::move(text), file_limits);
    if (!document) {
        reader_.add_fault(document.error());
    } else if (role == file_role::tenant) {
        parse_tenant(document->root(), no_index);
    } else {
        parse_root(document->root(), role);
    }
    add_faults(reader_.take_faults());
    reader_ = config::reader("");
}

void snapshot_builder::sort_faults() {
    std::map<std::string_view, std::size_t> order;
    for (const std::string& file : built_->files_) {
        order.emplace(file, order.size());
    }
    const auto place_of = [&order](const config::fault& one) {
        const auto found = order.find(one.file);
        return std::pair(found == order.end() ? order.size() : found->second, one.line);
    };
    config::faults sorted;
    for (config::fault& one : faults_) {
        const auto place =
            std::upper_bound(sorted.begin(), sorted.end(), one, [&](const auto& l, const auto& r) {
                return place_of(l) < place_of(r);
            });
        sorted.insert(place, std::move(one));
    }
    faults_ = std::move(sorted);
}

std::expected<loaded, config::faults> snapshot_builder::finish(const overlay& changes) {
    check_domains();
    if (!faults_.empty()) {
        sort_faults();
        return std::unexpected(std::move(faults_));
    }
    index_relay_hosts();
    merge(changes);
    built_->senders_.shrink();
    built_->fingerprint_ = folded(built_->fingerprint_, changes);
    return loaded{std::move(built_), std::move(overrides_), std::move(notes_)};
}

std::expected<loaded, config::faults> load(const std::string& path, const overlay& changes) {
    snapshot_builder builder;
    std::size_t bytes = 0;
    const auto read = [&](const std::string& file, file_role role) {
        auto text = config::read_file(file);
        if (!text) {
            builder.add_faults(text.error());
            return;
        }
        bytes += text->size();
        if (bytes > policy_bytes_max) {
            builder.add_faults(
                {{file,
                  0,
                  "",
                  fmt::format("expected at most {} bytes in all files", policy_bytes_max)}});
            return;
        }
        builder.read_text(std::move(*text), file, role);
    };
    std::error_code error;
    if (!std::filesystem::is_directory(path, error)) {
        read(path, file_role::whole);
        return builder.finish(changes);
    }
    const auto names = tenant_files(path);
    if (!names) {
        return std::unexpected(names.error());
    }
    const std::filesystem::path folder(path);
    read((folder / globals_name).string(), file_role::globals);
    for (const std::string& name : *names) {
        if (builder.full() || bytes > policy_bytes_max) {
            break;
        }
        read((folder / name).string(), file_role::tenant);
    }
    return builder.finish(changes);
}

std::expected<loaded, config::faults>
parse(std::string_view text, const std::string& file, const overlay& changes) {
    snapshot_builder builder;
    builder.read_text(std::string(text), file, file_role::whole);
    return builder.finish(changes);
}

std::expected<snapshot_pointer, config::faults> parse(std::string_view text,
                                                      const std::string& file) {
    auto made = parse(text, file, overlay{});
    if (!made) {
        return std::unexpected(std::move(made.error()));
    }
    return std::move(made->policy);
}

std::expected<snapshot_pointer, config::faults> load(const std::string& path) {
    auto made = load(path, overlay{});
    if (!made) {
        return std::unexpected(std::move(made.error()));
    }
    return std::move(made->policy);
}

config::faults check(const std::string& path) {
    const auto made = load(path);
    return made ? config::faults() : made.error();
}

} // namespace ebbgate::policy
