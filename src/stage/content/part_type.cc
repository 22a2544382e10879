#include "stage/content/part_type.h"

#include "stage/content/refusal.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

namespace ebbgate::content {

namespace {

constexpr char lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// `word` is lower case.
bool is(byte_view text, std::string_view word) noexcept {
    return std::equal(
        text.begin(), text.end(), word.begin(), word.end(), [](char left, char right) {
            return lower(left) == right;
        });
}

bool starts(byte_view text, std::string_view word) noexcept {
    return text.size() >= word.size() && is(text.substr(0, word.size()), word);
}

bool is_one_of(byte_view type, std::span<const std::string_view> types) noexcept {
    return std::any_of(
        types.begin(), types.end(), [type](std::string_view one) { return is(type, one); });
}

struct usual {
    std::string_view type;
    std::array<std::string_view, 4> extensions; // Empty ones at the end.
};

constexpr usual usual_table[] = {
    {"image/jpeg", {"jpg", "jpeg", "jpe", "jfif"}},
    {"image/jpg", {"jpg", "jpeg"}},
    {"image/pjpeg", {"jpg", "jpeg"}},
    {"image/png", {"png"}},
    {"image/x-png", {"png"}},
    {"image/gif", {"gif"}},
    {"image/bmp", {"bmp"}},
    {"image/tiff", {"tif", "tiff"}},
    {"image/webp", {"webp"}},
    {"image/heic", {"heic"}},
    {"image/svg+xml", {"svg"}},
    {"application/pdf", {"pdf"}},
    {"application/rtf", {"rtf"}},
    {"application/json", {"json"}},
    {"application/xml", {"xml"}},
    {"application/zip", {"zip"}},
    {"application/gzip", {"gz"}},
    {"application/ics", {"ics"}},
    {"application/msword", {"doc"}},
    {"application/vnd.ms-excel", {"xls"}},
    {"application/vnd.ms-powerpoint", {"ppt"}},
    {"application/vnd.openxmlformats-officedocument.wordprocessingml.document", {"docx"}},
    {"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", {"xlsx"}},
    {"application/vnd.openxmlformats-officedocument.presentationml.presentation", {"pptx"}},
    {"application/vnd.oasis.opendocument.text", {"odt"}},
    {"application/vnd.oasis.opendocument.spreadsheet", {"ods"}},
    {"application/pkcs7-mime", {"p7m"}},
    {"application/x-pkcs7-mime", {"p7m"}},
    {"application/pgp-keys", {"asc"}},
    {"audio/mpeg", {"mp3"}},
    {"audio/wav", {"wav"}},
    {"audio/x-wav", {"wav"}},
    {"audio/mp4", {"m4a"}},
    {"video/mp4", {"mp4"}},
    {"video/quicktime", {"mov"}},
    {"text/plain", {"txt", "text"}},
    {"text/html", {"html", "htm"}},
    {"text/calendar", {"ics"}},
    {"text/csv", {"csv"}},
    {"text/vcard", {"vcf"}},
    {"text/x-vcard", {"vcf"}},
    {"text/xml", {"xml"}},
    {"text/rtf", {"rtf"}},
    {"text/markdown", {"md"}},
    {"text/enriched", {"txt"}},
};

constexpr std::pair<std::string_view, std::string_view> implied_table[] = {
    {"application/x-msdownload", "exe"},
    {"application/x-msdos-program", "exe"},
    {"application/x-dosexec", "exe"},
    {"application/x-exe", "exe"},
    {"application/exe", "exe"},
    {"application/vnd.microsoft.portable-executable", "exe"},
    {"application/x-msi", "msi"},
    {"application/x-ms-installer", "msi"},
    {"application/x-executable", "elf"},
    {"application/x-pie-executable", "elf"},
    {"application/x-sharedlib", "so"},
    {"application/x-elf", "elf"},
    {"application/x-mach-binary", "macho"},
    {"application/hta", "hta"},
    {"application/x-sh", "sh"},
    {"application/x-csh", "csh"},
    {"application/x-shellscript", "sh"},
    {"text/x-sh", "sh"},
    {"text/x-shellscript", "sh"},
    {"application/javascript", "js"},
    {"application/x-javascript", "js"},
    {"application/ecmascript", "js"},
    {"text/javascript", "js"},
    {"text/ecmascript", "js"},
    {"text/jscript", "js"},
    {"text/vbscript", "vbs"},
    {"text/vbs", "vbs"},
    {"application/x-vbs", "vbs"},
    {"application/x-bat", "bat"},
    {"application/bat", "bat"},
    {"application/x-powershell", "ps1"},
    {"application/x-perl", "pl"},
    {"text/x-perl", "pl"},
    {"text/x-python", "py"},
    {"application/x-php", "php"},
    {"text/x-php", "php"},
    {"application/x-httpd-php", "php"},
    {"application/x-ms-shortcut", "lnk"},
    {"application/x-mswinurl", "url"},
    {"application/internet-shortcut", "url"},
    {"application/java-archive", "jar"},
    {"application/x-java-archive", "jar"},
    {"application/x-java-jnlp-file", "jnlp"},
    {"application/java-vm", "class"},
    {"application/vnd.android.package-archive", "apk"},
    {"application/x-iso9660-image", "iso"},
    {"application/x-apple-diskimage", "dmg"},
    {"application/vnd.ms-htmlhelp", "chm"},
    {"application/x-ms-application", "application"},
    {"application/wasm", "wasm"},
};

// What mail is made of, seldom named: signatures beside a text, and what PGP/MIME begins with.
constexpr std::string_view mail_itself[] = {
    "application/pgp-encrypted",
    "application/pgp-signature",
    "application/pkcs7-signature",
    "application/x-pkcs7-signature",
};

// What programs show or walk; another message/... is for them a file (RFC 2046 5.2.4).
constexpr std::string_view messages[] = {
    "message/delivery-status",
    "message/disposition-notification",
    "message/external-body",
    "message/feedback-report",
    "message/global",
    "message/global-delivery-status",
    "message/global-disposition-notification",
    "message/global-headers",
    "message/news",
    "message/partial",
    "message/rfc822",
    "message/tracking-status",
};

constexpr std::string_view fault_names[] = {
    "extension", "no name", "content", "member", "encrypted", "unlisted", "ambiguous"};

} // namespace

std::string_view name_of(attachment_fault fault) noexcept {
    return fault_names[static_cast<std::size_t>(fault)];
}

bool is_file_without_name(byte_view type, bool attachment) noexcept {
    if (type.empty() || starts(type, "text/")) {
        return attachment;
    }
    return !starts(type, "multipart/") && !is_one_of(type, messages) &&
           !is_one_of(type, mail_itself);
}

bool is_walked(byte_view type, std::string_view extension) noexcept {
    if (starts(type, "multipart/")) {
        return extension.empty();
    }
    return (is(type, "message/rfc822") || is(type, "message/global")) &&
           (extension.empty() || extension == "eml");
}

std::span<const std::string_view> usual_extensions(byte_view type) noexcept {
    const byte_view asked = type.empty() ? byte_view("text/plain") : type;
    for (const usual& one : usual_table) {
        if (is(asked, one.type)) {
            const auto end = std::find(one.extensions.begin(), one.extensions.end(), "");
            return std::span(one.extensions)
                .first(static_cast<std::size_t>(end - one.extensions.begin()));
        }
    }
    return {};
}

std::string_view implied_extension(byte_view type) noexcept {
    for (const auto& [name, extension] : implied_table) {
        if (is(type, name)) {
            return extension;
        }
    }
    return {};
}

std::string_view ambiguous_type(byte_view type) noexcept {
    if (is(type, "message/partial")) {
        return "a fragment of a message (message/partial)";
    }
    if (is(type, "message/external-body")) {
        return "a reference to what is elsewhere (message/external-body)";
    }
    if (is(type, "application/ms-tnef") || is(type, "application/vnd.ms-tnef")) {
        return "a TNEF container, whose attachments are not seen";
    }
    return {};
}

} // namespace ebbgate::content
