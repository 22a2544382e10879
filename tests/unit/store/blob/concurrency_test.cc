// Threads publish, withdraw and revoke the same contents while others sweep and list.

#include "store_fixture.h"

#include <atomic>
#include <map>
#include <mutex>
#include <thread>

namespace ebbgate::blob {
namespace {

constexpr int publishers = 4;
constexpr int publishes = 60;
constexpr std::int64_t swept_at = test_now + 5000;

class concurrency_test : public store_fixture {
protected:
    // Contents that all threads share, so that each is removed while it is published again.
    static std::string text_of(int thread, int number) {
        return number % 3 == 0 ? "own " + std::to_string(thread) + "." + std::to_string(number)
                               : "shared " + std::to_string(number % 4);
    }

    void publish_some(disk_store& store, int thread) {
        for (int number = 0; number < publishes; ++number) {
            const std::string text = text_of(thread, number);
            // Some have expired before they are published: the sweeper takes them at once.
            link wanted = make_link(text, number % 5 == 4 ? test_now : swept_at);
            const auto done = publish(store, text, wanted);
            ASSERT_TRUE(done) << done.error().detail;
            if (number % 5 == 4) {
                continue;
            }
            if (number % 5 == 3) {
                store.withdraw(wanted.token);
                continue;
            }
            if (number % 5 == 2) {
                ASSERT_TRUE(*store.revoke(wanted.token, test_now));
                continue;
            }
            ASSERT_EQ(content_of(store, wanted), text) << "right after it was published";
            if (number % 5 == 1) {
                ASSERT_TRUE(*store.extend(wanted.token, swept_at + 77));
            }
            const std::scoped_lock locked(lock_);
            live_.emplace(wanted.token, text);
        }
    }

    std::mutex lock_;
    std::map<std::string, std::string> live_;
};

TEST_F(concurrency_test, no_content_goes_that_a_link_needs) {
    const auto store = open();
    std::atomic<bool> is_done = false;
    std::atomic<std::uint64_t> swept_links = 0;
    std::vector<std::thread> threads;
    for (int thread = 0; thread < publishers; ++thread) {
        threads.emplace_back([&, thread] { publish_some(*store, thread); });
    }
    std::thread sweeper([&] {
        while (!is_done) {
            const auto swept = store->sweep(swept_at, 20);
            ASSERT_TRUE(swept) << swept.error().detail;
            swept_links += swept->links;
            ASSERT_TRUE(store->list("acme", "", 10));
            ASSERT_TRUE(store->totals());
        }
    });
    for (std::thread& one : threads) {
        one.join();
    }
    is_done = true;
    sweeper.join();
    while (true) {
        const auto swept = store->sweep(swept_at, 1000);
        ASSERT_TRUE(swept);
        swept_links += swept->links;
        if (swept->links + swept->contents == 0) {
            break;
        }
    }
    EXPECT_EQ(swept_links, static_cast<std::uint64_t>(publishers * publishes / 5));
    std::map<std::string, int> contents;
    for (const auto& [token, text] : live_) {
        const auto found = store->find(token);
        ASSERT_TRUE(found && *found) << token;
        EXPECT_EQ(content_of(*store, **found), text);
        ++contents[text];
    }
    EXPECT_EQ(files_in("content"), contents.size());
    EXPECT_EQ(store->totals()->contents, contents.size());
    EXPECT_EQ(store->totals()->links,
              live_.size() + static_cast<std::uint64_t>(publishers * publishes / 5));
    EXPECT_EQ(files_in("incoming"), 0U);
}

} // namespace
} // namespace ebbgate::blob
