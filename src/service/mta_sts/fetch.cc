#include "service/mta_sts/fetch.h"

#include <curl/curl.h>
#include <memory>
#include <mutex>

namespace ebbgate::mta_sts {

namespace {

constexpr long connect_timeout_s = 30;
constexpr long status_ok = 200;

// Less than what was given ends the transfer.
std::size_t take(char* bytes, std::size_t, std::size_t count, void* into) {
    auto& body = *static_cast<std::string*>(into);
    if (body.size() + count > policy_bytes_max) {
        return 0;
    }
    body.append(bytes, count);
    return count;
}

bool is_plain_text(const char* content_type) {
    byte_view type = content_type == nullptr ? "" : content_type;
    type = type.substr(0, type.find(';'));
    while (type.ends_with(' ')) {
        type.remove_suffix(1);
    }
    return curl_strequal(std::string(type).c_str(), "text/plain") != 0;
}

std::unexpected<fetch_fault> fault(tls_report::result_type type, std::string detail) {
    return std::unexpected(fetch_fault{type, std::move(detail)});
}

tls_report::result_type type_of(CURLcode code) {
    return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_ISSUER_ERROR
               ? tls_report::result_type::sts_webpki_invalid
               : tls_report::result_type::sts_policy_fetch_error;
}

} // namespace

std::expected<policy, fetch_fault> fetch_policy(const fetch_settings& settings,
                                                const std::string& domain) {
    using enum tls_report::result_type;
    static std::once_flag once;
    std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
    const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(),
                                                                   &curl_easy_cleanup);
    if (curl == nullptr) {
        return fault(sts_policy_fetch_error, "no memory for libcurl");
    }
    const std::string url = "https://mta-sts." + domain + "/.well-known/mta-sts.txt";
    std::string body;
    char error[CURL_ERROR_SIZE] = "";
    curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl.get(), CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(curl.get(), CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl.get(), CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(curl.get(), CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT, settings.timeout_s);
    curl_easy_setopt(curl.get(), CURLOPT_CONNECTTIMEOUT, connect_timeout_s);
    curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L); // Threads.
    curl_easy_setopt(curl.get(), CURLOPT_USERAGENT, "ebbgate");
    curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, &take);
    curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &body);
    curl_easy_setopt(curl.get(), CURLOPT_ERRORBUFFER, error);
    if (!settings.ca_file.empty()) {
        curl_easy_setopt(curl.get(), CURLOPT_CAINFO, settings.ca_file.c_str());
        curl_easy_setopt(curl.get(), CURLOPT_CAPATH, nullptr);
    }
    curl_slist* hosts = nullptr;
    if (!settings.connect_to.empty()) {
        hosts = curl_slist_append(nullptr, ("::" + settings.connect_to).c_str());
        curl_easy_setopt(curl.get(), CURLOPT_CONNECT_TO, hosts);
        curl_easy_setopt(curl.get(), CURLOPT_NOPROXY, "*");
    }
    const CURLcode done = curl_easy_perform(curl.get());
    curl_slist_free_all(hosts);
    if (done != CURLE_OK) {
        return fault(type_of(done),
                     url + ": " + (error[0] == '\0' ? curl_easy_strerror(done) : error));
    }
    long status = 0;
    const char* content_type = nullptr;
    curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(curl.get(), CURLINFO_CONTENT_TYPE, &content_type);
    if (status != status_ok) {
        return fault(sts_policy_fetch_error, url + ": status " + std::to_string(status));
    }
    if (!is_plain_text(content_type)) {
        return fault(sts_policy_invalid, url + ": not text/plain");
    }
    auto read = parse_policy(body);
    if (!read) {
        return fault(sts_policy_invalid, url + ": " + to_text(read.error()));
    }
    return std::move(*read);
}

} // namespace ebbgate::mta_sts
