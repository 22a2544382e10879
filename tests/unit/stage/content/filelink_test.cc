// Large attachments become links: what is cut out, what stays, and that the rest is untouched.

#include "crypto/base64.h"
#include "run_chain.h"

#include <gtest/gtest.h>

namespace ebbgate::content {
namespace {

using testing_chain::linked_file;
using testing_chain::run;
using testing_chain::run_chain;

constexpr std::string_view head =
    "From: a@acme.example\r\nDate: Tue, 24 Nov 2026 15:56:53 +0000\r\n"
    "Message-ID: <1@acme.example>\r\nMIME-Version: 1.0\r\n";
constexpr std::string_view mixed = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";
constexpr std::string_view link_lines =
    "[large file big.pdf] (0.01 MB) moved to:\r\nhttps://files.acme.example/files/T.pdf\r\n"
    "The file will be DELETED after twelve months.";
constexpr std::string_view link_header =
    "Content-Type: text/plain; charset=utf-8\r\nContent-Disposition: inline\r\n"
    "Content-Transfer-Encoding: 7bit\r\n\r\n";

policy::filelink_settings settings(std::uint64_t larger_than, std::uint64_t total = 0) {
    policy::filelink_settings made;
    made.larger_than_bytes = larger_than;
    made.total_larger_than_bytes = total;
    made.url = "https://files.acme.example/files/";
    return made;
}

std::string content_of(std::size_t bytes) {
    std::string out;
    for (std::size_t i = 0; i < bytes; ++i) {
        out += static_cast<char>(i * 7 + i / 251);
    }
    return out;
}

std::string encoded(std::string_view bytes) {
    std::string out;
    for (; !bytes.empty(); bytes.remove_prefix(std::min<std::size_t>(57, bytes.size()))) {
        out += crypto::to_base64(bytes.substr(0, 57)) + "\r\n";
    }
    out.resize(out.size() - std::min<std::size_t>(out.size(), 2));
    return out;
}

std::string part(std::string_view fields, std::string_view body) {
    return "--b\r\n" + std::string(fields) + "\r\n" + std::string(body) + "\r\n";
}

std::string pdf_fields(std::string_view name) {
    return "Content-Type: application/pdf; name=" + std::string(name) +
           "\r\nContent-Disposition: attachment; filename=" + std::string(name) +
           "\r\nContent-Transfer-Encoding: base64\r\n";
}

std::string pdf(std::string_view name, std::size_t bytes) {
    return part(pdf_fields(name), encoded(content_of(bytes)));
}

std::string message(std::string_view parts) {
    return std::string(head) + std::string(mixed) + part("", "See the file.") + std::string(parts) +
           "--b--\r\n";
}

run passed(const std::string& wire, const policy::filelink_settings& with) {
    return run_chain(wire, wire.size(), nullptr, &with);
}

TEST(Filelink, CutsALargeAttachmentOutAndPutsTheTextInItsPlace) {
    const auto with = settings(1000);
    const run done = passed(message(pdf("big.pdf", 5000) + pdf("small.pdf", 1000)), with);
    ASSERT_EQ(done.links.size(), 1U);
    EXPECT_EQ(done.links[0].what.name, "big.pdf");
    EXPECT_EQ(done.links[0].what.type, "application/pdf");
    EXPECT_EQ(done.links[0].content, content_of(5000));
    EXPECT_EQ(done.left,
              message("--b\r\n" + std::string(link_header) + std::string(link_lines) + "\r\n" +
                      pdf("small.pdf", 1000)));
    EXPECT_TRUE(testing_chain::verifies(done));
}

TEST(Filelink, LeavesWhatIsNotTooLargeAsItCame) {
    const auto with = settings(1000);
    const std::string wire = message(pdf("a.pdf", 1000) + part("X: y\r\n", "..dot\r\n...\r\n"));
    const run done = passed(wire, with);
    EXPECT_TRUE(done.links.empty());
    EXPECT_EQ(done.left, wire);
    EXPECT_TRUE(testing_chain::verifies(done));
}

TEST(Filelink, CutsWhatMakesAllTogetherTooLarge) {
    const auto with = settings(100'000, 5000);
    const run done = passed(message(pdf("a.pdf", 2000) + pdf("big.pdf", 3001) + pdf("c.pdf", 3000) +
                                    pdf("d.pdf", 1025) + pdf("tiny.pdf", 1024)),
                            with);
    // 2000 and 3000 may stay together; 3001 and 1025 may not. A text instead of the last would save
    // nothing.
    ASSERT_EQ(done.links.size(), 2U);
    EXPECT_EQ(done.links[0].what.name, "big.pdf");
    EXPECT_EQ(done.links[1].what.name, "d.pdf");
}

TEST(Filelink, AMessageHasSoManyLinksAndNoMore) {
    const auto with = settings(100);
    std::string parts;
    for (std::uint32_t i = 0; i < filelink_rewriter::links_max + 3; ++i) {
        parts += pdf(std::to_string(i) + ".pdf", 200);
    }
    const run done = passed(message(parts), with);
    EXPECT_EQ(done.links.size(), filelink_rewriter::links_max);
    EXPECT_TRUE(done.left.ends_with(pdf("102.pdf", 200) + "--b--\r\n"));
    EXPECT_TRUE(testing_chain::verifies(done));
}

TEST(Filelink, TheFirstNameThatSaysSomethingIsShown) {
    const auto with = settings(100);
    const auto name_of = [&](std::string_view fields) {
        const run done =
            passed(message(part(std::string(fields) + "Content-Transfer-Encoding: base64\r\n",
                                encoded(content_of(5000)))),
                   with);
        return done.links.size() == 1 ? done.links[0].what.name : "no link";
    };
    EXPECT_EQ(name_of("Content-Type: application/pdf\r\n"
                      "Content-Disposition: attachment; filename=\"  \"\r\n"),
              "attachment");
    EXPECT_EQ(name_of("Content-Type: application/pdf\r\nContent-Disposition: attachment\r\n"),
              "attachment");
    EXPECT_EQ(name_of("Content-Type: application/pdf; name=n.pdf\r\n"), "n.pdf");
}

TEST(Filelink, GivesTheSameForEveryCut) {
    const auto with = settings(200, 700);
    const std::string wire = message(pdf("a.pdf", 150) + part("", "..dots\r\n..\r\n") +
                                     pdf("big.pdf", 300) + pdf("c.pdf", 190) + pdf("d.pdf", 400));
    const run whole = passed(wire, with);
    ASSERT_EQ(whole.links.size(), 2U);
    for (std::size_t piece = 1; piece < wire.size(); ++piece) {
        const run cut = run_chain(wire, piece, nullptr, &with);
        ASSERT_EQ(cut.left, whole.left) << piece;
        ASSERT_EQ(cut.links.size(), whole.links.size());
        for (std::size_t i = 0; i < cut.links.size(); ++i) {
            ASSERT_EQ(cut.links[i].content, whole.links[i].content);
        }
        for (std::size_t i = 0; i < cut.signatures.size(); ++i) {
            ASSERT_EQ(cut.signatures[i].field(), whole.signatures[i].field());
        }
    }
    EXPECT_TRUE(testing_chain::verifies(whole));
}

TEST(Filelink, AMessageThatIsTheAttachmentGetsAnotherHeader) {
    const auto with = settings(1000);
    const run done = passed("From: a@acme.example\r\nDate: Tue, 24 Nov 2026 15:56:53 +0000\r\n"
                            "Message-ID: <1@acme.example>\r\nSubject: scan\r\n" +
                                pdf_fields("big.pdf") + "Content-Description: a scan\r\n\r\n" +
                                encoded(content_of(5000)) + "\r\n",
                            with);
    ASSERT_EQ(done.links.size(), 1U);
    EXPECT_EQ(done.links[0].content, content_of(5000));
    EXPECT_EQ(done.left,
              "From: a@acme.example\r\nDate: Tue, 24 Nov 2026 15:56:53 +0000\r\n"
              "Message-ID: <1@acme.example>\r\nSubject: scan\r\nMIME-Version: 1.0\r\n" +
                  std::string(link_header) + std::string(link_lines) + "\r\n");
    EXPECT_TRUE(testing_chain::verifies(done));
}

TEST(Filelink, AnUnclosedMessageStillEndsItsLastLine) {
    const auto with = settings(1000);
    std::string wire = message(pdf("big.pdf", 5000));
    wire.resize(wire.size() - std::string_view("--b--\r\n").size());
    const run done = passed(wire, with);
    ASSERT_EQ(done.links.size(), 1U);
    EXPECT_TRUE(done.left.ends_with("twelve months.\r\n"));
    EXPECT_TRUE(testing_chain::verifies(done));
}

TEST(Filelink, ANameThatIsNotAsciiMakesTheTextBase64) {
    const auto with = settings(1000);
    const run done = passed(
        message(part("Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n"
                     "Content-Disposition: attachment; filename*=utf-8''gr%C3%BC%C3%9Fe.pdf\r\n",
                     encoded(content_of(5000)))),
        with);
    ASSERT_EQ(done.links.size(), 1U);
    EXPECT_EQ(done.links[0].what.name,
              "gr\xc3\xbc\xc3\x9f"
              "e.pdf");
    const std::size_t at = done.left.find("Content-Transfer-Encoding: base64\r\n\r\n");
    ASSERT_NE(at, std::string::npos);
    std::string text = done.left.substr(at + 37, done.left.find("\r\n--b--") - at - 37);
    std::erase_if(text, [](char c) { return c == '\r' || c == '\n'; });
    EXPECT_TRUE(crypto::from_base64(text)->starts_with("[large file gr\xc3\xbc\xc3\x9f"
                                                       "e.pdf] (0.01 MB)"));
    EXPECT_TRUE(testing_chain::verifies(done));
}

TEST(Filelink, NeverTouchesWhatIsShownInsideSignedOrEncrypted) {
    const auto with = settings(100);
    const std::string body = encoded(content_of(5000));
    const std::string image =
        "Content-Type: image/png; name=a.png\r\nContent-Transfer-Encoding: base64\r\n";
    const auto wrapped = [&](std::string_view type, std::string_view inner) {
        return std::string(head) + "Content-Type: " + std::string(type) + "; boundary=b\r\n\r\n" +
               std::string(inner) + "--b--\r\n";
    };
    const std::string html =
        part("Content-Type: text/html\r\n", "<img src=\"CID:a%40b\"><img src='cid:c'>");
    const std::vector<std::string> untouched = {
        wrapped("multipart/related", html + part(image + "Content-ID: <x@y>\r\n", body)),
        message(html +
                part(image + "Content-ID: <a@b>\r\nContent-Disposition: attachment\r\n", body)),
        message(html + part(image + "Content-ID: <c>\r\n", body)),
        message(part(image + "Content-ID: <z>\r\nContent-Disposition: inline\r\n", body)),
        wrapped("multipart/signed; protocol=\"application/pkcs7-signature\"",
                part(pdf_fields("a.pdf"), body)),
        wrapped("multipart/encrypted", part(pdf_fields("a.pdf"), body)),
        message(part("Content-Type: message/rfc822\r\n",
                     "Subject: old\r\n" + pdf_fields("a.pdf") + "\r\n" + body)),
        std::string(head) +
            "Content-Type: application/pkcs7-mime; name=smime.p7m\r\n"
            "Content-Disposition: attachment; filename=smime.p7m\r\n"
            "Content-Transfer-Encoding: base64\r\n\r\n" +
            body + "\r\n",
        std::string(head) +
            "Content-Type: application/octet-stream\r\n"
            "Content-Disposition: attachment; filename=SMIME.P7M\r\n"
            "Content-Transfer-Encoding: base64\r\n\r\n" +
            body + "\r\n",
        message(part("Content-Type: text/html\r\n", std::string(5000, 'x'))),
        message(part("Content-Type: text/plain\r\n", std::string(5000, 'x'))),
    };
    for (const std::string& wire : untouched) {
        const run done = passed(wire, with);
        EXPECT_TRUE(done.links.empty()) << wire.substr(0, 400);
        EXPECT_EQ(done.left, wire);
    }
    const std::string named_html = part("Content-Type: text/html; name=body.html\r\n", "cid:n");
    EXPECT_TRUE(
        passed(message(named_html + part(pdf_fields("a.pdf") + "Content-ID: <n>\r\n", body)), with)
            .links.empty());
    // As every mail program of one maker marks its attachments: an id that nothing refers to.
    const run other =
        passed(message(html + part(pdf_fields("a.pdf") + "Content-ID: <f_1>\r\n", body)), with);
    EXPECT_EQ(other.links.size(), 1U);
}

TEST(Filelink, WhatIsReadInDifferentWaysStays) {
    const auto with = settings(100);
    const std::string body = encoded(content_of(5000));
    for (const std::string& wire : {
             message(part(pdf_fields("a.pdf") + pdf_fields("b.pdf"), body)),
             message(part(pdf_fields("a.pdf"), "AAAA\r\n--bb\r\n" + body)),
             message(part("Content-Type: multipart/mixed; boundary=c; boundary=d\r\n",
                          "--c\r\n" + pdf_fields("a.pdf") + "\r\n" + body + "\r\n--c--")),
         }) {
        const run done = passed(wire, with);
        EXPECT_TRUE(done.links.empty());
        EXPECT_EQ(done.left, wire);
    }
}

TEST(Filelink, Base64ThatIsReadInDifferentWaysStaysIfThatIsSeenInTime) {
    const auto with = settings(100);
    const std::string body = encoded(content_of(5000));
    for (const std::string& odd : {"AAA=\r\n" + body, "A!A\x01\r\n" + body}) {
        const std::string wire = message(part(pdf_fields("a.pdf"), odd));
        const run done = passed(wire, with);
        EXPECT_TRUE(done.links.empty());
        EXPECT_EQ(done.left, wire);
    }
    // The foreign byte stands before or behind the place where it became too large, for each cut.
    for (const std::size_t at : {134U, 200U}) {
        std::string odd = body;
        odd[at] = '!';
        const std::string wire = message(part(pdf_fields("a.pdf"), odd));
        const std::size_t links = passed(wire, with).links.size();
        EXPECT_EQ(links, at == 200 ? 1U : 0U);
        for (std::size_t piece = 1; piece < 300; ++piece) {
            ASSERT_EQ(run_chain(wire, piece, nullptr, &with).links.size(), links) << piece;
        }
    }
}

TEST(Filelink, ATextAttachmentIsDecodedAsItsEncodingSays) {
    const auto with = settings(100);
    const run done = passed(
        message(part("Content-Type: text/csv; name=t.csv\r\nContent-Disposition: attachment\r\n"
                     "Content-Transfer-Encoding: quoted-printable\r\n",
                     "a=3Db=\r\nc\r\n..d" + std::string(200, 'x'))),
        with);
    ASSERT_EQ(done.links.size(), 1U);
    EXPECT_EQ(done.links[0].content, "a=bc\r\n.d" + std::string(200, 'x'));
}

TEST(CidFinder, FindsIdsForEveryCut) {
    const std::string html = "x<img src=cid:one><a href=\"CID:two%40host\">cid:<cid:three";
    for (std::size_t piece = 1; piece <= html.size(); ++piece) {
        cid_finder finder;
        for (std::size_t at = 0; at < html.size(); at += piece) {
            finder.push(std::string_view(html).substr(at, piece));
        }
        finder.finish();
        EXPECT_TRUE(finder.refers_to("<one>")) << piece;
        EXPECT_TRUE(finder.refers_to(" <two@host>")) << piece;
        EXPECT_TRUE(finder.refers_to("three")) << piece;
        EXPECT_FALSE(finder.refers_to("<four>")) << piece;
    }
}

TEST(CidFinder, ACharacterReferenceMakesEveryPartShown) {
    cid_finder finder;
    finder.push("<img src=\"cid:a&#64;b\">");
    finder.finish();
    EXPECT_TRUE(finder.refers_to("<a@b>"));
}

TEST(CidFinder, AnIdBeyondItsBoundMakesEveryPartShown) {
    cid_finder finder;
    finder.push("<img src=\"cid:" + std::string(cid_finder::id_bytes_max + 1, 'x') + "\">");
    finder.finish();
    EXPECT_TRUE(finder.refers_to("<any>"));
}

} // namespace
} // namespace ebbgate::content
