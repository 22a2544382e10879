// SIGKILL at any moment: what was answered is there, no record is without its content, and after a
// sweep no content without a record.

#include "store/blob/link_record.h"
#include "store_fixture.h"

#include <sys/wait.h>

#include <csignal>
#include <map>
#include <random>
#include <set>

namespace ebbgate::blob {
namespace {

constexpr int rounds = 20;

struct report {
    enum class kind : std::uint8_t { published, revoking, withdrawing };

    report::kind what;
    char token[token_digits];
    std::uint32_t content;
};

std::string content_text(std::uint32_t number) {
    return "content " + std::to_string(number) + std::string(number % 7 * 1000, 'x');
}

bool tell(int to, report::kind what, const std::string& token, std::uint32_t content) {
    report one{what, {}, content};
    token.copy(one.token, token_digits);
    return ::write(to, &one, sizeof one) == sizeof one;
}

// The child: publishes without end, and takes some back. What removes is told before, what adds
// after.
[[noreturn]] void work_until_killed(const std::string& folder, int told, unsigned seed) {
    auto opened = disk_store::open(folder);
    if (!opened) {
        ::_exit(2);
    }
    disk_store& store = **opened;
    std::mt19937 random(seed);
    for (;;) {
        const auto number = static_cast<std::uint32_t>(random() % 8);
        const std::string text = content_text(number);
        const link wanted = make_link(text);
        if (!publish(store, text, wanted) ||
            !tell(told, report::kind::published, wanted.token, number)) {
            ::_exit(3);
        }
        const auto next = random() % 8;
        if (next == 0) {
            if (!tell(told, report::kind::revoking, wanted.token, number) ||
                !store.revoke(wanted.token, test_now)) {
                ::_exit(4);
            }
        } else if (next == 1) {
            if (!tell(told, report::kind::withdrawing, wanted.token, number)) {
                ::_exit(5);
            }
            store.withdraw(wanted.token);
        } else if (next == 2 && !store.sweep(test_now, 10)) {
            ::_exit(6);
        }
    }
}

class kill_test : public store_fixture {
protected:
    void kill_one(int round) {
        int ends[2];
        ASSERT_EQ(::pipe(ends), 0);
        const pid_t child = ::fork();
        ASSERT_GE(child, 0);
        if (child == 0) {
            ::close(ends[0]);
            work_until_killed(folder_, ends[1], static_cast<unsigned>(round));
        }
        ::close(ends[1]);
        report told{};
        std::size_t reports = 0;
        while (::read(ends[0], &told, sizeof told) == sizeof told) {
            take(told);
            if (++reports == 1 + random_() % 12) {
                ::usleep(static_cast<useconds_t>(random_() % 4000));
                ::kill(child, SIGKILL);
            } else if (reports > 12) {
                ::kill(child, SIGKILL);
            }
        }
        ::close(ends[0]);
        int status = 0;
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself: " << WEXITSTATUS(status);
    }

    void take(const report& told) {
        const std::string token(told.token, token_digits);
        if (told.what == report::kind::published) {
            published_[token] = told.content;
        } else {
            published_.erase(token);
            if (told.what == report::kind::revoking) {
                may_be_revoked_.insert(token);
            }
        }
    }

    void check() {
        const auto store = open();
        ASSERT_NE(store, nullptr);
        for (const auto& [token, number] : published_) {
            const auto found = store->find(token);
            ASSERT_TRUE(found && *found) << token << " was answered";
            ASSERT_EQ((*found)->revoked_unix_s, 0);
            ASSERT_EQ(hash_of(content_of(*store, **found)), hash_of(content_text(number)));
        }
        std::set<std::string> on_disk;
        std::set<content_hash> needed;
        for (const auto& entry :
             std::filesystem::recursive_directory_iterator(folder_ + "/links")) {
            if (!entry.is_regular_file()) {
                continue;
            }
            const std::string token = entry.path().filename();
            const auto found = store->find(token);
            ASSERT_TRUE(found && *found) << token << " is half a record";
            on_disk.insert(token);
            if ((*found)->revoked_unix_s == 0) {
                needed.insert((*found)->hash);
                ASSERT_EQ(hash_of(content_of(*store, **found)), (*found)->hash);
            } else {
                ASSERT_TRUE(may_be_revoked_.contains(token));
            }
        }
        const auto listed = tokens(*store);
        ASSERT_EQ(std::set<std::string>(listed.begin(), listed.end()), on_disk);
        ASSERT_EQ(listed.size(), on_disk.size());
        ASSERT_TRUE(store->sweep(test_now, 1000));
        ASSERT_EQ(files_in("content"), needed.size());
        ASSERT_EQ(files_in("incoming"), 0U);
        ASSERT_EQ(store->totals()->links, on_disk.size());
        ASSERT_EQ(store->totals()->contents, needed.size());
        if (published_.size() > 60) { // To stay quick; the sweep has something to do.
            ASSERT_TRUE(store->sweep(test_now + 1000, 1000));
            ASSERT_EQ(files_in("content") + files_in("links"), 0U);
            published_.clear();
        }
    }

    std::map<std::string, std::uint32_t> published_;
    std::set<std::string> may_be_revoked_;
    std::mt19937 random_{7};
};

TEST_F(kill_test, what_was_answered_is_there_after_kill_9) {
    for (int round = 0; round < rounds && !HasFatalFailure(); ++round) {
        SCOPED_TRACE(round);
        kill_one(round);
        check();
    }
}

} // namespace
} // namespace ebbgate::blob
