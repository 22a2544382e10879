// account add, passwd, remove, list, import.

#include "config/account_file.h"
#include "program/ctl/gateway.h"
#include "program/ctl/secret.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>

namespace ebbgate::ctl {

namespace {

constexpr std::size_t batch_accounts = 1000; // As many as one request may have.

struct options {
    std::string login;
    std::string tenant;
    std::string file;
    std::string format;
    bool password_stdin = false;
    bool replace = false;
    bool changes = false;
};

void set_password(context& context, const options& given, std::string_view command) {
    const auto hash = read_password_hash(given.password_stdin);
    if (!hash) {
        return complain(context, exit_usage, hash.error());
    }
    request asked(command);
    asked.text("tenant", given.tenant).text("login", given.login).text("hash", *hash);
    ask_for_change(context, asked);
}

void import_file(context& context, const options& given) {
    const auto read =
        config::read_account_file(given.file,
                                  given.format == "dovecot" ? config::account_format::dovecot
                                                            : config::account_format::htpasswd);
    if (!read) {
        return complain(context, exit_refused, config::to_text(read.error()));
    }
    const auto& all = read->accounts;
    for (std::size_t from = 0; from < all.size(); from += batch_accounts) {
        const std::size_t to = std::min(from + batch_accounts, all.size());
        request asked("account import");
        asked.text("tenant", given.tenant).flag("replace", given.replace);
        asked.flag("more", to < all.size());
        json::writer& out = asked.member("accounts").begin_array();
        for (std::size_t index = from; index < to; ++index) {
            out.begin_object().member("login", all[index].login);
            out.member("hash", all[index].password_hash).end_object();
        }
        out.end_array();
        if (!ask(context, asked.line())) {
            if (from > 0) {
                fmt::print(stderr, "ebbgatectl: the first {} accounts are stored\n", from);
            }
            return;
        }
    }
    if (context.as_json) {
        fmt::print("{{\"ok\":true,\"imported\":{}}}\n", all.size());
    } else {
        fmt::print("imported {} accounts\n", all.size());
    }
}

} // namespace

void add_account_commands(CLI::App& app, context& context) {
    const auto given = std::make_shared<options>();
    CLI::App* account = app.add_subcommand("account", "logins that were made by command");
    account->require_subcommand(1);

    CLI::App* add = add_leaf(*account, context, "add", "a new login; asks for its password");
    CLI::App* passwd = add_leaf(*account, context, "passwd", "a new password");
    CLI::App* remove = add_leaf(*account, context, "remove", "also one of the policy file");
    for (CLI::App* one : {add, passwd, remove}) {
        one->add_option("login", given->login, "the login name")->required();
    }
    add->add_option("--tenant", given->tenant, "whose login it is")->required();
    remove->add_option("--tenant", given->tenant, "when the login is not in force");
    for (CLI::App* one : {add, passwd}) {
        one->add_flag("--password-stdin", given->password_stdin, "the first line of the input");
    }
    add->callback([&context, given] { set_password(context, *given, "account add"); });
    passwd->callback([&context, given] { set_password(context, *given, "account passwd"); });
    remove->callback([&context, given] {
        request asked("account remove");
        asked.text("login", given->login).text("tenant", given->tenant);
        ask_for_change(context, asked);
    });

    CLI::App* list = add_leaf(*account, context, "list", "what is in force, and where it is from");
    list->add_option("--tenant", given->tenant, "only this tenant's");
    list->add_flag("--changes", given->changes, "only what was changed by command");
    list->callback([&context, given] {
        const std::string_view last = given->changes ? "change" : "source";
        ask_for_list(context,
                     "account list",
                     "accounts",
                     {{"login", "LOGIN"},
                      {"tenant", "TENANT"},
                      {last, given->changes ? "CHANGE" : "SOURCE"}},
                     [&given](request& asked) {
                         asked.text("tenant", given->tenant).flag("changes", given->changes);
                     });
    });

    CLI::App* import = add_leaf(*account, context, "import", "logins of another server");
    import->add_option("file", given->file, "the file")->required();
    import->add_option("--tenant", given->tenant, "whose logins they become")->required();
    import->add_option("--format", given->format, "dovecot or htpasswd")
        ->required()
        ->check(CLI::IsMember({"dovecot", "htpasswd"}));
    import->add_flag("--replace", given->replace, "also logins that the tenant has already");
    import->callback([&context, given] { import_file(context, *given); });
}

} // namespace ebbgate::ctl
