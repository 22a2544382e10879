// The records are the truth: whatever becomes of the catalogue, it is made from them again.

#include "store/blob/link_record.h"
#include "store_fixture.h"

namespace ebbgate::blob {
namespace {

namespace fs = std::filesystem;

class catalogue_test : public store_fixture {
protected:
    // Three links, one revoked, one extended, on two contents; closed.
    void fill() {
        const auto store = open();
        kept_ = add(*store, "same");
        revoked_ = add(*store, "same", test_now + 1);
        extended_ = add(*store, "other", test_now + 2);
        ASSERT_TRUE(*store->revoke(revoked_.token, test_now + 9));
        ASSERT_TRUE(*store->extend(extended_.token, test_now + 99'999));
    }

    void expect_all(blob_store& store) const {
        const auto page = store.list("", "", 10);
        ASSERT_TRUE(page) << page.error().detail;
        ASSERT_EQ(page->links.size(), 3U);
        EXPECT_EQ(page->links[0].token, extended_.token);
        EXPECT_EQ(page->links[0].expires_unix_s, test_now + 99'999);
        EXPECT_EQ(page->links[1].token, revoked_.token);
        EXPECT_EQ(page->links[1].revoked_unix_s, test_now + 9);
        EXPECT_EQ(page->links[2].token, kept_.token);
        EXPECT_EQ(page->links[2].name, kept_.name);
        const auto sums = store.totals();
        ASSERT_TRUE(sums);
        EXPECT_EQ(sums->links, 3U);
        EXPECT_EQ(sums->contents, 2U);
        EXPECT_EQ(sums->bytes, 9U);
        EXPECT_EQ(store.sweep(test_now, 100)->contents, 0U);
        EXPECT_EQ(content_of(store, kept_), "same");
    }

    [[nodiscard]] std::string database() const { return folder_ + "/catalogue.db"; }

    link kept_;
    link revoked_;
    link extended_;
};

TEST_F(catalogue_test, is_there_after_a_clean_end) {
    fill();
    EXPECT_TRUE(fs::exists(folder_ + "/clean"));
    const auto store = open();
    EXPECT_FALSE(fs::exists(folder_ + "/clean"));
    expect_all(*store);
}

TEST_F(catalogue_test, is_made_again_when_it_is_missing) {
    fill();
    fs::remove(database());
    expect_all(*open());
}

TEST_F(catalogue_test, is_made_again_when_it_is_no_database) {
    fill();
    write_file(database(), "not a database, but long enough to have a header of its own ........");
    expect_all(*open());
    write_file(database(), "");
    expect_all(*open());
}

TEST_F(catalogue_test, is_made_again_when_it_is_damaged) {
    fill();
    const std::string whole = read_file(database());
    ASSERT_GT(whole.size(), 16'384U);
    for (const std::size_t kept : {whole.size() / 2, std::size_t{4096}, std::size_t{5000}}) {
        fs::remove(folder_ + "/clean");
        write_file(database(), whole.substr(0, kept));
        expect_all(*open());
    }
    fs::remove(folder_ + "/clean");
    std::string damaged = whole;
    damaged.replace(4096, 8192, 8192, '\x55');
    write_file(database(), damaged);
    expect_all(*open());
}

TEST_F(catalogue_test, of_another_version_is_made_again) {
    fill();
    {
        auto other = store::database::open(database());
        ASSERT_TRUE(other);
        ASSERT_TRUE(other->execute("PRAGMA user_version=2"));
    }
    expect_all(*open());
    fs::remove(database());
    {
        auto other = store::database::open(database());
        ASSERT_TRUE(other);
        ASSERT_TRUE(other->execute("CREATE TABLE somebody_elses (x)"));
    }
    expect_all(*open());
}

// The mark is what decides: with it the folders are not looked at.
TEST_F(catalogue_test, is_compared_only_after_an_unclean_end) {
    fill();
    fs::remove(record_path(kept_.token));
    EXPECT_EQ(tokens(*open()).size(), 3U);
    fs::remove(folder_ + "/clean");
    const auto store = open();
    EXPECT_EQ(tokens(*store).size(), 2U);
    EXPECT_EQ(store->sweep(test_now, 100)->contents, 1U);
    EXPECT_EQ(store->totals()->contents, 1U);
}

TEST_F(catalogue_test, from_a_backup_gets_what_it_has_not) {
    fill();
    fs::copy_file(database(), above_ + "/old.db");
    const link later = add(*open(), "later", test_now + 50);
    fs::copy_file(above_ + "/old.db", database(), fs::copy_options::overwrite_existing);
    const auto store = open();
    EXPECT_EQ(tokens(*store).size(), 4U);
    EXPECT_EQ(tokens(*store).front(), later.token);
    EXPECT_EQ(store->sweep(test_now, 100)->contents, 0U);
    EXPECT_EQ(content_of(*store, later), "later");
}

TEST_F(catalogue_test, finds_contents_that_never_got_a_link) {
    fill();
    fs::remove(folder_ + "/clean");
    const std::string digits = hexadecimal(hash_of("orphan"));
    fs::create_directory(folder_ + "/content/" + digits.substr(0, 2));
    write_file(folder_ + "/content/" + digits.substr(0, 2) + "/" + digits, "orphan");
    write_file(folder_ + "/content/" + digits.substr(0, 2) + "/not one of ours", "?");
    const auto store = open();
    EXPECT_EQ(store->totals()->contents, 3U);
    const auto swept = store->sweep(test_now, 100);
    ASSERT_TRUE(swept);
    EXPECT_EQ(swept->contents, 1U);
    EXPECT_EQ(swept->bytes, 6U);
    expect_all(*store);
}

TEST_F(catalogue_test, goes_on_beside_a_record_that_is_none) {
    fill();
    fs::remove(folder_ + "/clean");
    const std::string bad = kept_.token.substr(0, 2) + make_token().substr(2);
    write_file(record_path(bad), "{");
    expect_all(*open());
    EXPECT_EQ(read_file(record_path(bad)), "{") << "left for the operator";
}

// A crash between the record and the catalogue.
TEST_F(catalogue_test, reads_again_what_was_about_to_change) {
    fill();
    auto opened = folders::open(folder_, true);
    ASSERT_TRUE(opened);
    {
        auto index = catalogue::open(**opened, *(*opened)->take_mark());
        ASSERT_TRUE(index);
        ASSERT_TRUE((*index)->announce(kept_.token));
        kept_.revoked_unix_s = test_now + 77;
        ASSERT_TRUE((*opened)->write_record(kept_, false));
    }
    auto index = catalogue::open(**opened, "");
    ASSERT_TRUE(index);
    EXPECT_EQ((*index)->list("", "", 10)->links[2].revoked_unix_s, test_now + 77);
    EXPECT_FALSE(*(*index)->is_needed(kept_.hash));
    EXPECT_EQ((*index)->unneeded(10)->size(), 1U);
}

TEST_F(catalogue_test, needs_what_was_told_a_moment_ago) {
    auto opened = folders::open(folder_, true);
    ASSERT_TRUE(opened);
    auto index = catalogue::open(**opened, "");
    ASSERT_TRUE(index);
    link one = make_link("x");
    EXPECT_FALSE(*(*index)->is_needed(one.hash));
    EXPECT_FALSE((*index)->put(one));
    EXPECT_TRUE(*(*index)->is_needed(one.hash));
    ASSERT_TRUE((*index)->flush());
    EXPECT_TRUE(*(*index)->is_needed(one.hash));
    // Even when the row that says it is to be removed was read before.
    ASSERT_TRUE((*index)->forget({{one.hash, one.bytes}}));
    EXPECT_EQ((*index)->totals()->contents, 1U);
    (*index)->drop(one.token);
    ASSERT_TRUE((*index)->flush());
    EXPECT_FALSE(*(*index)->is_needed(one.hash));
    ASSERT_TRUE((*index)->forget({{one.hash, one.bytes}}));
    EXPECT_EQ((*index)->totals()->contents, 0U);
    EXPECT_EQ((*index)->totals()->links, 0U);
}

// The queue is bounded. What it had to drop is found in the folders.
TEST_F(catalogue_test, that_cannot_be_written_is_compared_when_it_can) {
    const auto store = open();
    const link real = add(*store, "real");
    auto opened = folders::open(above_ + "/second", true);
    ASSERT_TRUE(opened);
    auto index = catalogue::open(**opened, "");
    ASSERT_TRUE(index);
    ASSERT_TRUE((*opened)->write_record(real, true));
    link one = make_link("x");
    std::size_t told_full = 0;
    for (std::size_t number = 0; number < 4 * queue_changes_max; ++number) {
        one.token = make_token();
        told_full += (*index)->put(one) ? 1 : 0;
    }
    EXPECT_EQ(told_full, 3 * queue_changes_max + 1);
    one.token = make_token();
    EXPECT_FALSE((*index)->put(one)) << "begins again";
    EXPECT_TRUE(*(*index)->is_needed(hash_of("whatever"))) << "until it was compared";
    ASSERT_TRUE((*index)->flush());
    EXPECT_FALSE(*(*index)->is_needed(hash_of("whatever")));
    const auto page = (*index)->list("", "", 1000);
    ASSERT_TRUE(page);
    EXPECT_EQ(page->links.size(), 2U) << "what the folder has, and what was told since";
}

} // namespace
} // namespace ebbgate::blob
