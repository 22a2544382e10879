// dkim keygen, record: no gateway is asked.

#include "ebbgate/dkim/key.h"

#include "codec/json/writer.h"
#include "program/ctl/topics.h"

#include <fmt/format.h>

#include <memory>

namespace ebbgate::ctl {

namespace {

struct options {
    std::string file;
    std::string domain;
    std::string selector;
    std::string type = "rsa";
    std::size_t bits = 2048;
};

bool takes_names(context& context, const options& given) {
    if (dkim::is_key_name(given.domain) && dkim::is_key_name(given.selector)) {
        return true;
    }
    complain(context,
             exit_usage,
             fmt::format("\"{}._domainkey.{}\" is no name in DNS; write international domains as "
                         "A-labels (xn--...)",
                         given.selector,
                         given.domain));
    return false;
}

void show_record(const context& context, const dkim::signing_key& key, const options& given) {
    const std::string line = dkim::zone_line(key, given.selector, given.domain);
    const std::string text = dkim::record_text(key);
    const std::string name = given.selector + "._domainkey." + given.domain;
    if (!context.as_json) {
        fmt::print("; a line of the zone file:\n{}\n\n; for a web form: type TXT, name {}, value:\n"
                   "{}\n",
                   line,
                   name,
                   text);
        return;
    }
    std::string out;
    json::writer writer(out);
    writer.begin_object().key("ok").boolean(true).member("file", given.file);
    writer.member("type", key.type() == dkim::key_type::rsa ? "rsa" : "ed25519");
    writer.member("name", name).member("value", text).member("zone_line", line).end_object();
    fmt::print("{}\n", out);
}

void keygen(context& context, const options& given) {
    if (!takes_names(context, given)) {
        return;
    }
    const dkim::key_pointer key = dkim::generate_key(
        given.type == "rsa" ? dkim::key_type::rsa : dkim::key_type::ed25519, given.bits);
    if (const auto stored = dkim::store_key(*key, given.file); !stored) {
        return complain(context, exit_refused, stored.error().detail);
    }
    show_record(context, *key, given);
}

void record(context& context, const options& given) {
    if (!takes_names(context, given)) {
        return;
    }
    const auto key = dkim::load_key(given.file);
    if (!key) {
        return complain(context, exit_refused, key.error().detail);
    }
    show_record(context, **key, given);
}

} // namespace

void add_dkim_commands(CLI::App& app, context& context) {
    const auto given = std::make_shared<options>();
    CLI::App* dkim = app.add_subcommand("dkim", "keys that sign, and their DNS records");
    dkim->require_subcommand(1);
    CLI::App* make = add_leaf(*dkim, context, "keygen", "a new key, and its DNS record");
    CLI::App* show = add_leaf(*dkim, context, "record", "the DNS record of a key");
    for (CLI::App* one : {make, show}) {
        one->add_option("--domain", given->domain, "the domain that signs")->required();
        one->add_option("--selector", given->selector, "the key's name in it")->required();
    }
    make->add_option("file", given->file, "where the key goes; must not be there")->required();
    make->add_option("--type", given->type, "rsa (default) or ed25519")
        ->check(CLI::IsMember({"rsa", "ed25519"}));
    make->add_option("--bits", given->bits, "of an RSA key: 2048 (default), 3072 or 4096")
        ->check(CLI::IsMember({2048, 3072, 4096}));
    show->add_option("file", given->file, "the key")->required();
    make->callback([&context, given] { keygen(context, *given); });
    show->callback([&context, given] { record(context, *given); });
}

} // namespace ebbgate::ctl
