// The same spool on a real file system, and the tools for a stopped one.

#include "ebbgate/message/message_id.h"
#include "ebbgate/spool/posix_storage.h"
#include "ebbgate/spool/reader.h"
#include "ebbgate/spool/recovery.h"
#include "ebbgate/spool/stored_meta.h"
#include "ebbgate/spool/writer.h"

#include "codec/spool/export_folder.h"

#include <gtest/gtest.h>

#include <sys/wait.h>

#include <deque>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <unistd.h>

namespace ebbgate::spool {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t segment_bytes = 1 * mib;

class PosixSpool : public ::testing::Test {
protected:
    void SetUp() override {
        char name[] = "spool_test_XXXXXX";
        const fs::path base = fs::temp_directory_path() / name;
        std::string text = base.string();
        ASSERT_NE(::mkdtemp(text.data()), nullptr);
        folder_ = text;
        fs::create_directory(folder_ / "spool");
        fs::create_directory(folder_ / "out");
    }

    void TearDown() override { fs::remove_all(folder_); }

    std::string spool_path() const { return (folder_ / "spool").string(); }

    std::string out_file(const std::string& name) const {
        std::ifstream in(folder_ / "out" / name, std::ios::binary);
        std::stringstream text;
        text << in.rdbuf();
        return text.str();
    }

    fs::path folder_;
};

struct stored_request : append_request {
    bool durable = false;
};

// A daemon in small: opens, recovers, appends.
class small_spool {
public:
    explicit small_spool(const std::string& path) : files(path) {
        const auto meta = open_spool(files, 1);
        EXPECT_TRUE(meta.has_value());
        auto recovered = recover_shard(files, *meta, {0, segment_bytes});
        EXPECT_TRUE(recovered.has_value());
        live = std::move(recovered->live);
        writer_options options;
        options.segment_bytes = segment_bytes;
        options.group_bytes_max = 512 * kib;
        log = std::make_unique<writer>(disk, options, std::move(recovered->start));
    }

    void turn() {
        now_ns += 25'000'000;
        if (log->wants_segment()) {
            const auto segment = prepare_segment(files, log->order_segment());
            ASSERT_TRUE(segment.has_value());
            log->give_segment(*segment);
        }
        if (log->wants_body_file()) {
            const auto file = prepare_body_file(files, log->order_body_file());
            ASSERT_TRUE(file.has_value());
            log->give_body_file(*file);
        }
        log->pump(now_ns);
        disk.poll();
    }

    bool append(std::uint64_t id, const std::string& meta, const std::string& body) {
        stored_request request;
        request.message_id = id;
        request.meta = meta;
        std::unique_ptr<large_body> large;
        if (body.size() > 256 * kib) {
            large = stream(body);
            request.large = large.get();
        } else {
            request.raw_body = body;
        }
        request.on_settled =
            [](append_request& settled, append_status status, const location&) noexcept {
                static_cast<stored_request&>(settled).durable = status == append_status::durable;
            };
        log->append(request);
        do {
            turn();
        } while (!log->idle());
        return request.durable;
    }

    std::unique_ptr<large_body> stream(const std::string& body) {
        auto file = log->acquire_body_file();
        while (!file) {
            turn();
            file = log->acquire_body_file();
        }
        auto large =
            std::make_unique<large_body>(disk, file->file_number, file->file, nullptr, nullptr);
        for (std::size_t at = 0; at < body.size();) {
            at += large->append(byte_view(body).substr(at, 100'000));
            disk.poll();
        }
        large->finish();
        while (!large->idle()) {
            disk.poll();
        }
        EXPECT_EQ(large->state(), large_body_state::durable);
        return large;
    }

    posix_directory files;
    posix_device disk;
    std::deque<recovered_message> live;
    std::unique_ptr<writer> log;
    std::int64_t now_ns = 0;
};

std::string meta_for(std::uint64_t id) {
    message::envelope envelope;
    envelope.id = id;
    envelope.sender = "a\"b@sender.example";
    envelope.recipients.push_back({"r@far.example", "rfc822;r", message::notify_failure});
    return encode_meta(envelope, "Received: by test\r\n");
}

TEST_F(PosixSpool, MessagesSurviveAProcessThatIsKilled) {
    constexpr std::uint64_t count = 40;
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        small_spool spool(spool_path());
        for (std::uint64_t id = 1; id <= count; ++id) {
            if (!spool.append(id, meta_for(id), std::string(id * 1000, 'x'))) {
                ::_exit(1);
            }
        }
        ::_exit(0); // No destructor runs, nothing is closed or flushed.
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_EQ(status, 0);
    small_spool after(spool_path());
    ASSERT_EQ(after.live.size(), count);
    std::uint64_t read = 0;
    read_metas(after.files,
               after.log->files(),
               after.live,
               [&read](const recovered_message& message, std::optional<byte_view> meta) {
                   EXPECT_EQ(message.id, ++read);
                   EXPECT_EQ(meta, meta_for(message.id));
               });
    EXPECT_EQ(read, count);
}

TEST_F(PosixSpool, TheLockKeepsASecondProcessOut) {
    const small_spool spool(spool_path());
    posix_directory second(spool_path());
    const auto opened = open_spool(second, 1);
    ASSERT_FALSE(opened.has_value());
    EXPECT_EQ(opened.error().kind, failure_kind::unavailable);
}

TEST_F(PosixSpool, ExportWritesMailAsReadersExpectIt) {
    const std::string large(600 * kib, 'L');
    {
        small_spool spool(spool_path());
        ASSERT_TRUE(spool.append(1, meta_for(1), "Subject: x\r\n\r\n..dot\r\nlast\r\n"));
        ASSERT_TRUE(spool.append(2, meta_for(2), large));
    }
    posix_directory files(spool_path());
    const auto report = export_spool_to_folder(files, (folder_ / "out").string());
    ASSERT_TRUE(report.has_value()) << report.error().detail;
    EXPECT_EQ(report->live_messages, 2U);
    EXPECT_EQ(report->damaged_bodies, 0U);
    EXPECT_EQ(out_file(message::to_text(1) + ".eml"),
              "Received: by test\r\nSubject: x\r\n\r\n.dot\r\nlast\r\n");
    EXPECT_TRUE(out_file(message::to_text(2) + ".eml") == "Received: by test\r\n" + large);
    const std::string json = out_file(message::to_text(1) + ".json");
    EXPECT_NE(json.find("\"sender\": \"a\\\"b@sender.example\""), std::string::npos) << json;
    EXPECT_NE(json.find("\"address\": \"r@far.example\""), std::string::npos);
}

TEST_F(PosixSpool, VerifyFindsADamagedBodyFile) {
    {
        small_spool spool(spool_path());
        ASSERT_TRUE(spool.append(1, meta_for(1), std::string(600 * kib, 'L')));
    }
    {
        std::fstream body(folder_ / "spool/s00/body/00000000.dat",
                          std::ios::in | std::ios::out | std::ios::binary);
        body.seekp(300'000);
        body.put('M');
    }
    posix_directory files(spool_path());
    const auto report = verify_spool(files);
    ASSERT_TRUE(report.has_value());
    EXPECT_EQ(report->live_messages, 1U);
    EXPECT_EQ(report->damaged_bodies, 1U);
    const auto exported = export_spool_to_folder(files, (folder_ / "out").string());
    ASSERT_TRUE(exported.has_value());
    EXPECT_TRUE(fs::exists(folder_ / "out" / (message::to_text(1) + ".damaged")));
    EXPECT_NE(out_file(message::to_text(1) + ".json").find("\"intact\": false"), std::string::npos);
}

TEST_F(PosixSpool, ExportWritesOverNothing) {
    {
        small_spool spool(spool_path());
        ASSERT_TRUE(spool.append(1, meta_for(1), "body\r\n"));
    }
    posix_directory files(spool_path());
    std::ofstream(folder_ / "out" / (message::to_text(1) + ".eml")) << "mine";
    EXPECT_FALSE(export_spool_to_folder(files, (folder_ / "out").string()).has_value());
    EXPECT_EQ(out_file(message::to_text(1) + ".eml"), "mine");
}

TEST(Unstuffer, AnySplitGivesTheSame) {
    const std::string wire = "..a\r\n.\r\n..\r\nb.c\r\n...\r\n.";
    const std::string plain = ".a\r\n.\r\nb.c\r\n..\r\n";
    for (std::size_t cut = 0; cut <= wire.size(); ++cut) {
        unstuffer decoder;
        std::string out;
        decoder.feed(byte_view(wire).substr(0, cut), out);
        decoder.feed(byte_view(wire).substr(cut), out);
        EXPECT_EQ(out, plain) << cut;
    }
}

} // namespace
} // namespace ebbgate::spool
