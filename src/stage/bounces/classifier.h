// Gives the refusal of a recipient its class, for the event record and for suppression.
//
// Stage   9 of 9: after an outcome, before it is written.
// Input   The reply: code (0: none, the text is ours), enhanced status, text.
// Output  The class of the first rule that matches; else what the codes say (fallback.h); else
//         Uncategorized. Views live as long as the classifier.
// Owner   Immutable once made: shared by all threads. RE2 locks where its automaton grows.
// Fails   Only when it is made: the rules are too large together.
// Bounds  text_bytes_max of the text; set_bytes_max of memory. Linear in the text.
// Specs   rule_file.h for the rules, RFC 3463 for the codes.

#pragma once

#include "ebbgate/smtp/reply.h"

#include "stage/bounces/rule_file.h"

#include <expected>
#include <memory>
#include <string>
#include <string_view>

namespace ebbgate::bounces {

// What says why stands in front; and a peer that sends words of rules in an order never seen pays
// 3 us a byte of our time (bench/micro/bounces_bench), usual texts a hundredth of it.
inline constexpr std::size_t text_bytes_max = 512;

class classifier {
public:
    [[nodiscard]] static std::expected<std::unique_ptr<const classifier>, std::string>
    make(rule_file rules);
    // Of default_rules_text: they are good, as a test says.
    [[nodiscard]] static std::unique_ptr<const classifier> make_default();

    classifier(const classifier&) = delete;
    classifier& operator=(const classifier&) = delete;
    ~classifier();

    [[nodiscard]] std::string_view
    classify(int code, const smtp::enhanced_status& status, std::string_view text) const;

    // The recipient will never be reached, so that the next message need not try. Only of a
    // permanent failure's class: 4xx may say "user unknown", too.
    [[nodiscard]] bool is_hard(std::string_view name) const noexcept;

private:
    struct compiled;

    classifier(rule_file rules, std::unique_ptr<compiled> set);

    rule_file rules_;
    std::unique_ptr<compiled> set_;
};

} // namespace ebbgate::bounces
