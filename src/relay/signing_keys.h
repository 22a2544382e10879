// The keys that sign, read from the files that the policy names.
//
// Output  The signers of a sender's domain: d= is the domain or its longest parent that has keys.
// Owner   Immutable; shared by all shards, beside the snapshot that it was made for.
// Fails   With every file that cannot be used and where it is named: all or none.
// Bounds  One signer a key of the policy. A file that has not changed is not read again: to read
//         one costs a signature.

#pragma once

#include "ebbgate/dkim/signer.h"

#include "config/fault.h"
#include "stage/policy/snapshot.h"

#include <cstdint>
#include <expected>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ebbgate::relay {

class signing_keys {
public:
    // `before` may be null.
    [[nodiscard]] static std::expected<std::shared_ptr<const signing_keys>, config::faults>
    load(const policy::snapshot& policy, const signing_keys* before);

    // `tenant` is of the snapshot that these were made for; `domain` in lower-case A-labels.
    [[nodiscard]] std::span<const dkim::signer> find(const policy::tenant& tenant,
                                                     std::string_view domain) const;

private:
    // A file as it was read.
    struct stamp {
        std::uint64_t device = 0;
        std::uint64_t inode = 0;
        std::int64_t bytes = 0;
        std::int64_t modified_s = 0;
        std::int64_t modified_ns = 0;

        bool operator==(const stamp&) const = default;
    };

    struct loaded_key {
        stamp read_as;
        dkim::key_pointer key;
    };

    [[nodiscard]] result<dkim::key_pointer> key_of(const std::string& file,
                                                   const signing_keys* before);

    std::map<std::string, loaded_key, std::less<>> files_;
    std::vector<std::vector<dkim::signer>> signers_; // By tenant's index, in the order of its keys.
};

} // namespace ebbgate::relay
