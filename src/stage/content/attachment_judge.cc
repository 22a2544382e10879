#include "stage/content/attachment_judge.h"

#include <fmt/format.h>

#include <algorithm>

namespace ebbgate::content {

namespace {

constexpr std::size_t shown_bytes = 200;

// What an extension promises, when it is an archive that can be listed.
constexpr std::pair<std::string_view, file_kind> archives[] = {
    {"zip", file_kind::zip},
    {"jar", file_kind::zip},
    {"apk", file_kind::zip},
    {"tar", file_kind::tar},
    {"gz", file_kind::gzip},
    {"tgz", file_kind::gzip},
};

} // namespace

attachment_judge::attachment_judge(const policy::attachment_settings& settings,
                                   listing_limits limits)
    : settings_(settings), limits_(limits) {}

bool attachment_judge::has_extension(std::string_view extension) const noexcept {
    return std::find(extensions_.begin(), extensions_.end(), extension) != extensions_.end();
}

void attachment_judge::refuse(attachment_fault fault, std::string detail) {
    if (!refusal_) {
        refusal_ = {fault, name_, std::move(detail)};
    }
    wants_content_ = false;
}

void attachment_judge::refuse_if_strict(std::string detail) {
    if (settings_.ambiguous == policy::strictness::refuse) {
        refuse(attachment_fault::ambiguous, std::move(detail));
    }
}

void attachment_judge::note_ambiguous(byte_view name, std::string detail) {
    if (!refusal_ && settings_.ambiguous == policy::strictness::refuse) {
        refusal_ = {attachment_fault::ambiguous,
                    std::string(name.substr(0, name_bytes_max)),
                    std::move(detail)};
        wants_content_ = false;
    }
}

void attachment_judge::begin(const part_description& part) {
    listing_.reset();
    end_finder_.reset();
    first_block_.clear();
    first_block_judged_ = false;
    rule_ = member_rule::none;
    wants_content_ = false;
    if (refusal_) {
        return;
    }
    name_judgement judged = judge_names(settings_, part);
    name_ = std::move(judged.name);
    extensions_ = std::move(judged.extensions);
    if (extensions_.empty()) {
        extensions_.emplace_back();
    }
    refusal_ = std::move(judged.refusal);
    wants_content_ = judged.is_attachment && !refusal_ &&
                     (settings_.sniff || settings_.archives == policy::archive_rule::members);
}

void attachment_judge::take(byte_view decoded) {
    if (!first_block_judged_) {
        const std::size_t taken = std::min(sniff_bytes - first_block_.size(), decoded.size());
        first_block_.append(decoded.substr(0, taken));
        decoded.remove_prefix(taken);
        if (first_block_.size() < sniff_bytes) {
            return;
        }
        judge_first_block();
    }
    if (end_finder_) {
        end_finder_->feed(decoded);
    }
    if (listing_ && wants_content_) {
        listing_->feed(decoded);
        if (listing_->done()) {
            judge_listing();
        }
    }
}

void attachment_judge::end() {
    if (!wants_content_) {
        return;
    }
    if (!first_block_judged_) {
        judge_first_block();
    }
    if (listing_ && wants_content_) {
        listing_->finish();
        judge_listing();
    }
    if (end_finder_ && end_finder_->found()) {
        refuse(attachment_fault::content, "a zip archive at its end");
    }
    wants_content_ = false;
}

void attachment_judge::judge_first_block() {
    first_block_judged_ = true;
    const file_kind kind = sniff(first_block_);
    judge_kind(kind);
    if (refusal_) {
        return;
    }
    if (settings_.sniff && kind == file_kind::other && !agrees(file_kind::zip, extensions_[0])) {
        end_finder_.emplace().feed(first_block_);
    }
    choose_listing(kind);
    if (listing_) {
        listing_->feed(first_block_);
        if (listing_->done()) {
            judge_listing();
        }
    }
    wants_content_ = wants_content_ && (listing_ || end_finder_);
}

void attachment_judge::judge_kind(file_kind kind) {
    if (!settings_.sniff) {
        return;
    }
    for (const std::string& extension : extensions_) {
        if (!agrees(kind, extension)) {
            return refuse(
                attachment_fault::content,
                fmt::format("it is {}, its extension is \"{}\"", name_of(kind), extension));
        }
    }
}

void attachment_judge::choose_listing(file_kind kind) {
    if (settings_.archives != policy::archive_rule::members) {
        return;
    }
    for (const auto& [extension, promised] : archives) {
        if (has_extension(extension) && kind != promised) {
            return refuse_if_strict(
                fmt::format("its extension is \"{}\", but it is {}", extension, name_of(kind)));
        }
    }
    rule_ = member_rule::listed;
    member_handler& self = *this; // Nobody else may see it as one.
    switch (kind) {
    case file_kind::zip:
        if (std::all_of(extensions_.begin(), extensions_.end(), is_zip_document)) {
            rule_ = member_rule::no_programs;
        }
        listing_.emplace(archive_format::zip, self, limits_);
        break;
    case file_kind::tar:
        listing_.emplace(archive_format::tar, self, limits_);
        break;
    case file_kind::gzip:
        listing_.emplace(archive_format::gzip, self, limits_);
        break;
    case file_kind::archive:
        if (settings_.allow) {
            refuse(attachment_fault::unlisted, "an archive whose members cannot be seen");
        }
        break;
    case file_kind::other:
    case file_kind::program:
    case file_kind::script:
    case file_kind::shortcut:
    case file_kind::ole_document:
        break;
    }
}

void attachment_judge::member(byte_view name, bool encrypted) {
    if (refusal_) {
        return;
    }
    const byte_view shown = name.substr(0, shown_bytes);
    if (encrypted && settings_.encrypted_archives == policy::strictness::refuse) {
        return refuse(attachment_fault::encrypted,
                      fmt::format("the member \"{}\" is encrypted", shown));
    }
    const extension_readings readings = extensions_of(name);
    for (const std::string& extension : readings.extensions) {
        const bool allowed = rule_ == member_rule::no_programs ? !is_program_extension(extension)
                                                               : settings_.allows(extension);
        if (!allowed) {
            return refuse(attachment_fault::member, fmt::format("the member \"{}\"", shown));
        }
        if (rule_ == member_rule::listed && settings_.allow && is_archive_extension(extension)) {
            return refuse(
                attachment_fault::unlisted,
                fmt::format("the member \"{}\" is an archive whose members cannot be seen", shown));
        }
    }
    if (readings.ambiguous) {
        refuse_if_strict(fmt::format("the member \"{}\" has a name without a clear end", shown));
    }
}

// A file in gzip data is called what the data is called, without the last extension.
void attachment_judge::judge_single_file() {
    const std::size_t dot = name_.rfind('.');
    const byte_view inner = byte_view(name_).substr(0, dot == std::string::npos ? 0 : dot);
    if (has_extension("tgz")) {
        return refuse_if_strict("its extension is \"tgz\", but there is no tar in it");
    }
    member(inner, false);
    if (settings_.sniff && !refusal_) {
        for (const std::string& extension : extensions_of(inner).extensions) {
            if (!agrees(listing_->inner_kind(), extension)) {
                return refuse(attachment_fault::content,
                              fmt::format("in it is {}, its name is that of \"{}\"",
                                          name_of(listing_->inner_kind()),
                                          extension));
            }
        }
    }
}

void attachment_judge::judge_listing() {
    const listing_fault fault = listing_->fault();
    if (listing_->is_single_file() && !refusal_) {
        judge_single_file();
    }
    if (fault == listing_fault::hidden_names) {
        if (settings_.encrypted_archives == policy::strictness::refuse) {
            refuse(attachment_fault::encrypted, "the names of its members are encrypted");
        } else if (settings_.allow) {
            refuse(attachment_fault::unlisted, "the names of its members are encrypted");
        }
    } else if (fault != listing_fault::none) {
        refuse_if_strict(fmt::format("the archive is {}", name_of(fault)));
    }
    listing_.reset();
    wants_content_ = wants_content_ && end_finder_.has_value();
}

} // namespace ebbgate::content
