#include "service/suppression/suppression_list.h"

#include <gtest/gtest.h>

#include <sys/wait.h>

#include <chrono>
#include <csignal>
#include <ctime>
#include <filesystem>
#include <string>
#include <thread>
#include <unistd.h>

namespace ebbgate::suppression {
namespace {

class suppression_list_test : public ::testing::Test {
protected:
    void SetUp() override {
        char name[] = "/tmp/ebbgate-suppression-XXXXXX";
        ASSERT_NE(::mkdtemp(name), nullptr);
        folder_ = name;
        open();
    }

    void TearDown() override {
        list_.reset();
        std::filesystem::remove_all(folder_);
    }

    [[nodiscard]] std::string path() const { return folder_ + "/suppression.db"; }

    void open(const list_bounds& bounds = {}) {
        list_.reset();
        auto opened = suppression_list::open(path(), bounds);
        ASSERT_TRUE(opened) << opened.error().detail;
        list_ = std::move(*opened);
    }

    void
    bounce(std::string_view address, std::int64_t expires = 0, std::string_view tenant = "acme") {
        list_->note_bounce(
            {tenant, address, "InvalidRecipient", "550 5.1.1 no", std::time(nullptr), expires});
    }

    addition
    add(const std::string& address, std::int64_t expires = 0, std::string tenant = "acme") {
        const auto done =
            list_->add({0, std::move(tenant), address, "", "asked", std::time(nullptr), expires});
        EXPECT_TRUE(done);
        return done.value_or(addition::full);
    }

    std::string folder_;
    std::unique_ptr<suppression_list> list_;
};

TEST_F(suppression_list_test, bounces_are_in_force_at_once_and_after_a_restart) {
    EXPECT_FALSE(list_->is_suppressed("acme", "bob@example.org"));
    bounce("Bob@Example.org");
    EXPECT_TRUE(list_->is_suppressed("acme", "bob@example.org"));
    EXPECT_FALSE(list_->is_suppressed("bolt", "bob@example.org"));
    open();
    EXPECT_TRUE(list_->is_suppressed("acme", "BOB@example.org"));
    const auto page = list_->list("acme", 0, 10);
    ASSERT_TRUE(page);
    ASSERT_EQ(page->rows.size(), 1U);
    EXPECT_EQ(page->rows[0].address, "bob@example.org");
    EXPECT_EQ(page->rows[0].name, "InvalidRecipient");
    EXPECT_EQ(page->rows[0].reply, "550 5.1.1 no");
}

TEST_F(suppression_list_test, the_writer_stores_by_itself) {
    bounce("bob@example.org");
    for (int wait = 0; wait < 100; ++wait) {
        auto other = store::database::open(path());
        ASSERT_TRUE(other);
        auto asked = other->prepare("SELECT COUNT(*) FROM suppressed");
        ASSERT_TRUE(asked && asked->step());
        if (asked->number(0) == 1) {
            return;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    FAIL() << "not stored within five seconds";
}

TEST_F(suppression_list_test, commands_add_and_remove) {
    EXPECT_EQ(add("Bob@Example.org"), addition::added);
    EXPECT_EQ(add("bob@example.org"), addition::unchanged);
    EXPECT_TRUE(list_->is_suppressed("acme", "bob@example.org"));
    bounce("bob@example.org", 1); // Does not shorten what a command set.
    ASSERT_TRUE(list_->flush());
    EXPECT_EQ(list_->list("acme", 0, 1)->rows.at(0).expires_unix_s, 0);
    EXPECT_EQ(list_->remove("bolt", "bob@example.org").value(), false);
    EXPECT_EQ(list_->remove("acme", "BOB@example.org").value(), true);
    EXPECT_EQ(list_->remove("acme", "bob@example.org").value(), false);
    EXPECT_FALSE(list_->is_suppressed("acme", "bob@example.org"));
    // One that waits to be stored is removed as well.
    bounce("carl@example.org");
    EXPECT_EQ(list_->remove("acme", "carl@example.org").value(), true);
    open();
    EXPECT_EQ(list_->size(), 0U);
}

TEST_F(suppression_list_test, lists_by_pages) {
    for (int number = 0; number < 25; ++number) {
        bounce(std::to_string(number) + "@x.example", 0, number % 5 == 0 ? "bolt" : "acme");
    }
    std::int64_t after = 0;
    std::size_t rows = 0;
    do {
        const auto page = list_->list("acme", after, 7);
        ASSERT_TRUE(page);
        for (const entry& one : page->rows) {
            EXPECT_EQ(one.tenant, "acme");
            EXPECT_GT(one.id, after);
        }
        rows += page->rows.size();
        after = page->next;
    } while (after != 0);
    EXPECT_EQ(rows, 20U);
    EXPECT_EQ(list_->list("", 0, 1'000)->rows.size(), 25U);
    EXPECT_EQ(list_->list("", 0, 25)->next, 0);
    EXPECT_TRUE(list_->list("nobody", 0, 10)->rows.empty());
}

TEST_F(suppression_list_test, has_bounds) {
    open({.entries_max = 5, .per_tenant_max = 3});
    for (int number = 0; number < 6; ++number) {
        bounce(std::to_string(number) + "@x.example");
        ASSERT_TRUE(list_->flush());
    }
    EXPECT_EQ(list_->size(), 3U);
    EXPECT_EQ(list_->dropped(), 3U);
    EXPECT_FALSE(list_->is_suppressed("acme", "5@x.example"));
    EXPECT_EQ(add("9@x.example"), addition::full);
    EXPECT_EQ(add("1@x.example"), addition::unchanged);
    EXPECT_EQ(add("1@x.example", 0, "bolt"), addition::added);
    EXPECT_EQ(add("2@x.example", 0, "bolt"), addition::added);
    EXPECT_EQ(add("3@x.example", 0, "bolt"), addition::full); // Of all.
    EXPECT_TRUE(list_->remove("acme", "0@x.example").value());
    EXPECT_EQ(add("3@x.example", 0, "bolt"), addition::added);
    open({.entries_max = 5, .per_tenant_max = 3});
    EXPECT_EQ(list_->size(), 5U);
    EXPECT_EQ(add("4@x.example", 0, "bolt"), addition::full); // Counted after a restart, too.
}

TEST_F(suppression_list_test, entries_expire) {
    open({.sweep_ms = 50});
    bounce("old@x.example", std::time(nullptr) + 1);
    bounce("kept@x.example", std::time(nullptr) + 1'000);
    EXPECT_TRUE(list_->is_suppressed("acme", "old@x.example"));
    for (int wait = 0; wait < 100 && list_->size() > 1; ++wait) {
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    EXPECT_FALSE(list_->is_suppressed("acme", "old@x.example"));
    EXPECT_TRUE(list_->is_suppressed("acme", "kept@x.example"));
    EXPECT_EQ(add("gone@x.example", std::time(nullptr) - 1), addition::added);
    open();
    EXPECT_FALSE(list_->is_suppressed("acme", "gone@x.example"));
}

TEST_F(suppression_list_test, threads_tell_together) {
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 4; ++thread) {
        threads.emplace_back([this, thread] {
            for (int number = 0; number < 500; ++number) {
                const std::string address =
                    std::to_string(number) + "." + std::to_string(thread % 2) + "@x.example";
                bounce(address);
                EXPECT_TRUE(list_->is_suppressed("acme", address));
            }
        });
    }
    for (std::thread& one : threads) {
        one.join();
    }
    ASSERT_TRUE(list_->flush());
    EXPECT_EQ(list_->size(), 1'000U);
    EXPECT_EQ(list_->list("", 0, 1'000)->rows.size(), 1'000U);
}

TEST_F(suppression_list_test, refuses_a_file_of_another_program) {
    const std::string other = folder_ + "/other.db";
    ASSERT_TRUE(store::database::open(other)->execute("CREATE TABLE a (b)"));
    const auto opened = suppression_list::open(other);
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().kind, failure_kind::bad_input);
}

// The child: adds without end and says the number of each that was answered.
[[noreturn]] void add_for_ever(const std::string& path, int told) {
    auto opened = suppression_list::open(path);
    for (int number = 0; opened; ++number) {
        (*opened)->note_bounce({"bolt", std::to_string(number) + "@x", "BadDomain", "", 1, 0});
        const auto done = (*opened)->add({0, "acme", std::to_string(number) + "@x", "", "", 1, 0});
        if (!done || write(told, &number, sizeof number) != sizeof number) {
            break;
        }
    }
    _exit(2);
}

TEST_F(suppression_list_test, what_was_answered_is_there_after_kill_9) {
    list_.reset();
    for (int round = 0; round < 5; ++round) {
        std::filesystem::remove(path());
        int ends[2];
        ASSERT_EQ(pipe(ends), 0);
        const pid_t child = fork();
        ASSERT_GE(child, 0);
        if (child == 0) {
            close(ends[0]);
            add_for_ever(path(), ends[1]);
        }
        close(ends[1]);
        int answered = -1;
        int number = 0;
        while (read(ends[0], &number, sizeof number) == sizeof number) {
            answered = number;
            if (answered == 3 + round) {
                usleep(static_cast<useconds_t>(round * 237));
                kill(child, SIGKILL);
            }
        }
        close(ends[0]);
        int status = 0;
        ASSERT_EQ(waitpid(child, &status, 0), child);
        ASSERT_TRUE(WIFSIGNALED(status));
        ASSERT_GE(answered, 3);
        open();
        for (int one = 0; one <= answered; ++one) {
            EXPECT_TRUE(list_->is_suppressed("acme", std::to_string(one) + "@x"));
            EXPECT_TRUE(list_->is_suppressed("bolt", std::to_string(one) + "@x")); // In its batch.
        }
        list_.reset();
    }
}

} // namespace
} // namespace ebbgate::suppression
