#include "config/domain.h"
#include "stage/policy/builder.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

namespace ebbgate::policy {

using config::named_value;
using std::chrono::seconds;

namespace {

constexpr named_value strictnesses[] = {
    {"refuse", static_cast<int>(strictness::refuse)},
    {"allow", static_cast<int>(strictness::allow)},
};
constexpr named_value archive_rules[] = {
    {"members", static_cast<int>(archive_rule::members)},
    {"name", static_cast<int>(archive_rule::name)},
};

struct canonical_forms {
    canonical_form header;
    canonical_form body;
};

constexpr named_value canonicalizations[] = {
    {"simple/simple", 0},
    {"simple/relaxed", 1},
    {"relaxed/simple", 2},
    {"relaxed/relaxed", 3},
};

constexpr canonical_forms forms_of(int choice) {
    const auto form = [](bool relaxed) {
        return relaxed ? canonical_form::relaxed : canonical_form::simple;
    };
    return {form((choice & 2) != 0), form((choice & 1) != 0)};
}

constexpr std::size_t key_path_bytes_max = 4096;
constexpr std::size_t domain_bytes_max = 253; // Of "selector._domainkey.domain".
constexpr std::uint64_t link_size_min = 1024;
constexpr std::uint64_t link_size_max = std::uint64_t{1} << 40;
constexpr seconds hour(3600);
constexpr seconds century(100LL * 365 * 86'400);

bool is_extension(std::string_view text) {
    return !text.empty() && text.size() <= extension_bytes_max &&
           std::all_of(text.begin(), text.end(), [](char c) {
               return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                      c == '-' || c == '_' || c == '+' || c == '~' || c == '!';
           });
}

// Such as "https://files.acme.example/files/": nothing in it needs escaping, in a text or by HTTP.
bool is_link_url(std::string_view text) {
    constexpr std::string_view schemes[] = {"https://", "http://"};
    const auto* const scheme =
        std::find_if(std::begin(schemes), std::end(schemes), [text](std::string_view one) {
            return text.starts_with(one);
        });
    if (scheme == std::end(schemes) || !text.ends_with('/') || text.size() > link_url_bytes_max) {
        return false;
    }
    const std::string_view rest = text.substr(scheme->size());
    const std::size_t slash = rest.find('/');
    std::string_view host = rest.substr(0, slash);
    const std::size_t colon = host.find(':');
    if (colon != std::string_view::npos) {
        const auto parsed = config::parse_host_and_port(host);
        if (!parsed || parsed->port == 0) {
            return false;
        }
        host = host.substr(0, colon);
    }
    const std::string_view path = rest.substr(slash);
    return config::is_host_name(host) && path.find("//") == std::string_view::npos &&
           path.find("/.") == std::string_view::npos &&
           std::all_of(path.begin(), path.end(), [](char c) {
               return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                      c == '-' || c == '_' || c == '.' || c == '~' || c == '/';
           });
}

template <typename settings>
settings copy_of(const std::shared_ptr<const settings>& from) {
    return from ? *from : settings();
}

} // namespace

void snapshot_builder::parse_content(const value& at, content_draft& into, setting_level level) {
    // Only false: an object takes over what `defaults` has, key by key.
    const auto off = [](const value& found) {
        return found.is(json::kind::boolean) && !found.boolean();
    };
    if (const value* found = at.find("attachments")) {
        if (off(*found)) {
            into.attachments = nullptr;
        } else {
            parse_attachments(*found, into);
        }
    }
    if (const value* found = at.find("filelink")) {
        if (off(*found)) {
            into.filelink = nullptr;
        } else {
            parse_filelink(*found, into, level);
        }
    }
    parse_strictness(at, "unsigned", into.unsigned_mail);
}

void snapshot_builder::parse_strictness(const value& object,
                                        std::string_view key,
                                        strictness& into) {
    if (const value* found = object.find(key)) {
        const auto chosen = reader_.choice(*found, strictnesses);
        into = static_cast<strictness>(chosen.value_or(static_cast<int>(into)));
    }
}

std::optional<text_template> snapshot_builder::parse_lines(
    const value& at, std::span<const std::string_view> variables, template_charset charset) {
    if (!reader_.array(at, template_lines_max)) {
        return std::nullopt;
    }
    if (at.children().empty()) {
        reader_.add_fault(at, fmt::format("expected 1 to {} lines", template_lines_max));
        return std::nullopt;
    }
    std::vector<std::string_view> lines;
    for (const value& item : at.children()) {
        const auto text = reader_.string(item, "one line of text");
        if (!text) {
            return std::nullopt;
        }
        lines.push_back(*text);
    }
    auto made = text_template::make(lines, variables, charset);
    if (!made) {
        reader_.add_fault(at.children()[made.error().line], made.error().expected);
        return std::nullopt;
    }
    return std::move(*made);
}

void snapshot_builder::parse_attachments(const value& at, content_draft& into) {
    if (!reader_.object(at, keys::attachments)) {
        return;
    }
    attachment_settings made = copy_of(into.attachments);
    if (const value* allow = at.find("allow"); allow != nullptr) {
        std::vector<std::string>& list = made.allow.emplace();
        if (reader_.array(*allow, extensions_max)) {
            for (const value& item : allow->children()) {
                const auto text = reader_.string(item, "an extension such as \"pdf\"");
                if (text && !is_extension(*text)) {
                    reader_.add_fault(item,
                                      fmt::format("expected an extension such as \"pdf\", without "
                                                  "a dot (at most {} letters, digits, - _ + ~ !), "
                                                  "found {}",
                                                  extension_bytes_max,
                                                  config::shown(item)));
                } else if (text) {
                    list.push_back(config::lower_ascii(*text));
                }
            }
        }
        std::sort(list.begin(), list.end());
        list.erase(std::unique(list.begin(), list.end()), list.end());
    }
    if (const value* reply = at.find("reply")) {
        auto text = parse_lines(*reply, attachment_reply_variables, template_charset::ascii);
        made.reply = text ? std::move(*text) : made.reply;
    }
    parse_strictness(at, "encrypted_archives", made.encrypted_archives);
    parse_strictness(at, "ambiguous", made.ambiguous);
    if (const value* archives = at.find("archives")) {
        const auto chosen = reader_.choice(*archives, archive_rules);
        made.archives = static_cast<archive_rule>(chosen.value_or(static_cast<int>(made.archives)));
    }
    parse_flag(at, "sniff", made.sniff);
    into.attachments = std::make_shared<const attachment_settings>(std::move(made));
}

void snapshot_builder::parse_filelink(const value& at, content_draft& into, setting_level level) {
    if (!reader_.object(at, keys::filelink)) {
        return;
    }
    filelink_settings made = copy_of(into.filelink);
    reader_.set_size(at, "larger_than", made.larger_than_bytes, link_size_min, link_size_max);
    reader_.set_size(
        at, "total_larger_than", made.total_larger_than_bytes, link_size_min, link_size_max);
    if (const value* url = at.find("url")) {
        const auto text = reader_.string(*url, "the URL of a folder");
        if (text && !is_link_url(*text)) {
            reader_.add_fault(*url,
                              fmt::format("expected a URL such as "
                                          "\"https://files.acme.example/files/\" that ends with "
                                          "\"/\" and needs no escapes, found {}",
                                          config::shown(*url)));
        } else if (text) {
            made.url = *text;
        }
    }
    if (const value* keep = at.find("keep")) {
        if (const auto parsed = reader_.duration(*keep, hour, century)) {
            made.keep = *parsed;
            made.keep_months = months_in(keep->text());
            made.keep_text = duration_in_words(keep->text());
        }
    }
    if (const value* lines = at.find("text")) {
        auto text = parse_lines(*lines, filelink_variables, template_charset::utf8);
        constexpr std::size_t url_variable = 2;
        static_assert(filelink_variables[url_variable] == "url");
        if (text && !text->uses(url_variable)) {
            reader_.add_fault(*lines, "expected {url} in one of the lines");
        } else if (text) {
            made.text = std::move(*text);
        }
    }
    if (const value* tls = at.find("tls")) {
        made.tls = {};
        parse_tls(*tls, made.tls);
    }
    if (level != setting_level::defaults) {
        const auto need = [&](std::string_view key, bool there, std::string_view expected) {
            if (!there && at.find(key) == nullptr) {
                (void)reader_.required(at, key, expected);
            }
        };
        need("larger_than", made.larger_than_bytes > 0, "a size");
        need("url", !made.url.empty(), "the URL of a folder");
    }
    into.filelink = std::make_shared<const filelink_settings>(std::move(made));
}

void snapshot_builder::set_content(const value& at, content_draft&& draft, tenant& into) {
    // What `defaults` leaves open is asked for only where it holds.
    if (draft.filelink && at.find("filelink") == nullptr &&
        (draft.filelink->url.empty() || draft.filelink->larger_than_bytes == 0)) {
        reader_.add_fault(at,
                          "expected a \"filelink\" with what that of \"defaults\" leaves open "
                          "(\"larger_than\", \"url\"), or false");
    }
    into.attachments = std::move(draft.attachments);
    into.filelink = std::move(draft.filelink);
    into.unsigned_mail = draft.unsigned_mail;
}

void snapshot_builder::parse_dkim(const value& at, tenant& into) {
    if (!reader_.array(at, dkim_keys_max)) {
        return;
    }
    std::map<std::pair<std::string_view, std::string_view>, const value*> seen;
    std::map<std::string_view, std::size_t> of_domain;
    into.dkim.reserve(at.children().size()); // So that the views stay.
    for (const value& item : at.children()) {
        if (reader_.full()) {
            return;
        }
        dkim_key made;
        if (!parse_dkim_key(item, into, made)) {
            continue;
        }
        into.dkim.push_back(std::move(made));
        const dkim_key& key = into.dkim.back();
        if (!seen.emplace(std::pair(std::string_view(key.domain), std::string_view(key.selector)),
                          &item)
                 .second) {
            reader_.add_fault(item,
                              fmt::format("\"{}\" has a key with this selector already; expected "
                                          "each once",
                                          key.domain));
        } else if (++of_domain[key.domain] > dkim_keys_per_domain_max) {
            reader_.add_fault(item,
                              fmt::format("expected at most {} keys of one domain: each is a "
                                          "signature on each message",
                                          dkim_keys_per_domain_max));
        }
    }
    std::sort(into.dkim.begin(), into.dkim.end(), [](const dkim_key& left, const dkim_key& right) {
        return std::tie(left.domain, left.selector) < std::tie(right.domain, right.selector);
    });
}

bool snapshot_builder::parse_dkim_key(const value& at, const tenant& of, dkim_key& into) {
    if (!reader_.object(at, keys::dkim)) {
        return false;
    }
    const auto text_of = [&](std::string_view key, std::string_view expected) {
        const value* found = reader_.required(at, key, expected);
        const auto text = found == nullptr ? std::nullopt : reader_.string(*found, expected);
        return std::pair(found, text);
    };
    if (const auto [found, text] = text_of("domain", "a domain"); text) {
        const auto domain = config::to_a_labels(*text);
        if (!domain) {
            reader_.add_fault(*found,
                              fmt::format("expected a domain (in UTF-8 or as A-labels), found {}",
                                          config::shown(*found)));
        } else if (!covers(of.index, *domain)) {
            reader_.add_fault(*found,
                              fmt::format("is not in the tenant's domains; expected one of them, a "
                                          "subdomain, or \"{}\" among its \"domains\"",
                                          *domain));
        } else {
            into.domain = *domain;
        }
    }
    if (const auto [found, text] = text_of("selector", "a selector such as \"s2026\""); text) {
        if (!config::is_host_name(fmt::format("{}._domainkey", *text)) ||
            text->size() + std::string_view("._domainkey.").size() + into.domain.size() >
                domain_bytes_max) {
            reader_.add_fault(*found,
                              fmt::format("expected a selector such as \"s2026\" (a DNS name, {} "
                                          "bytes at most with the domain), found {}",
                                          domain_bytes_max,
                                          config::shown(*found)));
        } else {
            into.selector = config::lower_ascii(*text);
        }
    }
    if (const auto [found, text] = text_of("key", "the path of a file"); text) {
        if (text->size() > key_path_bytes_max || has_control(*text)) {
            reader_.add_fault(*found,
                              fmt::format("expected at most {} bytes without control characters",
                                          key_path_bytes_max));
        } else {
            into.file = config::resolve_path(*text, config::folder_of(reader_.file()));
        }
    }
    if (const value* found = at.find("canonicalization")) {
        if (const auto chosen = reader_.choice(*found, canonicalizations)) {
            const canonical_forms forms = forms_of(*chosen);
            into.header = forms.header;
            into.body = forms.body;
        }
    }
    reader_.set_duration(at, "expire", into.expire, hour, century);
    return !into.domain.empty() && !into.selector.empty() && !into.file.empty();
}

} // namespace ebbgate::policy
