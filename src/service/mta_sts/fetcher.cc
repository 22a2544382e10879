#include "service/mta_sts/fetcher.h"

#include <curl/curl.h>
#include <utility>
#include <vector>

namespace ebbgate::mta_sts {

namespace {

constexpr long status_ok = 200;
constexpr long authorities_s_max = 3600; // Their file is read again after so long.
constexpr int wait_ms_max = 1000;
constexpr int queue_wait_ms_max = 100; // While others wait for a place.

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

struct fetcher::transfer {
    CURL* curl = curl_easy_init();
    curl_slist* hosts = nullptr;
    std::string url;
    std::string body;
    fetch_done done;
    char error[CURL_ERROR_SIZE] = "";

    transfer() = default;
    transfer(const transfer&) = delete;
    transfer& operator=(const transfer&) = delete;

    ~transfer() {
        curl_easy_cleanup(curl);
        curl_slist_free_all(hosts);
    }

    void prepare(const fetch_settings& settings) {
        curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
        curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
        curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
        curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
        curl_easy_setopt(curl, CURLOPT_TIMEOUT, settings.timeout_s);
        curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, settings.timeout_s);
        curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L); // Threads.
        // Names are looked up on threads, which are else waited for when the time is over: one
        // silent name server would hold up all.
        curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L);
        curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, 1L);
        curl_easy_setopt(curl, CURLOPT_USERAGENT, "ebbgate");
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &take);
        curl_easy_setopt(curl, CURLOPT_WRITEDATA, &body);
        curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
        curl_easy_setopt(curl, CURLOPT_CA_CACHE_TIMEOUT, authorities_s_max);
        if (!settings.ca_file.empty()) {
            curl_easy_setopt(curl, CURLOPT_CAINFO, settings.ca_file.c_str());
            curl_easy_setopt(curl, CURLOPT_CAPATH, nullptr);
        }
        if (!settings.connect_to.empty()) {
            hosts = curl_slist_append(nullptr, ("::" + settings.connect_to).c_str());
            curl_easy_setopt(curl, CURLOPT_CONNECT_TO, hosts);
            curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
        }
    }

    [[nodiscard]] std::expected<policy, fetch_fault> result(CURLcode code) const {
        using enum tls_report::result_type;
        if (code != CURLE_OK) {
            return fault(type_of(code),
                         url + ": " + (error[0] == '\0' ? curl_easy_strerror(code) : error));
        }
        long status = 0;
        const char* content_type = nullptr;
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_getinfo(curl, CURLINFO_CONTENT_TYPE, &content_type);
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
};

struct fetcher::engine {
    CURLM* multi = nullptr;

    engine() {
        static std::once_flag once;
        std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
        multi = curl_multi_init();
    }

    engine(const engine&) = delete;
    engine& operator=(const engine&) = delete;

    ~engine() { curl_multi_cleanup(multi); }
};

fetcher::fetcher(fetch_settings settings)
    : settings_(std::move(settings)), engine_(std::make_unique<engine>()) {
    thread_ = std::thread([this] { run(); });
}

fetcher::~fetcher() {
    stop();
}

void fetcher::stop() {
    {
        const std::lock_guard held(lock_);
        stopping_ = true;
    }
    curl_multi_wakeup(engine_->multi);
    if (thread_.joinable()) {
        thread_.join();
    }
}

void fetcher::fetch(const std::string& domain, fetch_done done) {
    {
        const std::lock_guard held(lock_);
        if (stopping_) {
            return; // As what is under way.
        }
        if (engine_->multi != nullptr && queue_.size() < settings_.queue_max) {
            queue_.push_back({domain, std::move(done), std::chrono::steady_clock::now()});
            curl_multi_wakeup(engine_->multi);
            return;
        }
    }
    done(std::nullopt);
}

void fetcher::run() {
    CURLM* const multi = engine_->multi;
    while (multi != nullptr && !stopping_) {
        begin_waiting();
        refuse_late();
        int running = 0;
        curl_multi_perform(multi, &running);
        end_finished();
        bool others_wait = false;
        {
            const std::lock_guard held(lock_);
            others_wait = !queue_.empty();
            if (others_wait && transfers_.size() < settings_.transfers_max) {
                continue;
            }
        }
        curl_multi_poll(multi, nullptr, 0, others_wait ? queue_wait_ms_max : wait_ms_max, nullptr);
    }
    for (const auto& [handle, one] : transfers_) {
        curl_multi_remove_handle(multi, handle);
    }
    transfers_.clear();
    queue_.clear(); // fetch() takes nothing more.
}

void fetcher::begin_waiting() {
    while (transfers_.size() < settings_.transfers_max) {
        job next;
        {
            const std::lock_guard held(lock_);
            if (queue_.empty()) {
                return;
            }
            next = std::move(queue_.front());
            queue_.pop_front();
        }
        auto made = std::make_unique<transfer>();
        if (made->curl == nullptr) {
            next.done(std::nullopt);
            continue;
        }
        made->url = "https://mta-sts." + next.domain + "/.well-known/mta-sts.txt";
        made->done = std::move(next.done);
        made->prepare(settings_);
        CURL* const handle = made->curl;
        if (curl_multi_add_handle(engine_->multi, handle) != CURLM_OK) {
            made->done(std::nullopt);
            continue;
        }
        transfers_.emplace(handle, std::move(made));
    }
}

// They are in the order in which they came.
void fetcher::refuse_late() {
    const auto since_min =
        std::chrono::steady_clock::now() - std::chrono::seconds(settings_.queue_s_max);
    std::vector<job> late;
    {
        const std::lock_guard held(lock_);
        while (!queue_.empty() && queue_.front().since < since_min) {
            late.push_back(std::move(queue_.front()));
            queue_.pop_front();
        }
    }
    for (const job& one : late) {
        one.done(std::nullopt);
    }
}

void fetcher::end_finished() {
    int more = 0;
    while (const CURLMsg* told = curl_multi_info_read(engine_->multi, &more)) {
        if (told->msg != CURLMSG_DONE) {
            continue;
        }
        const CURLcode code = told->data.result;
        auto node = transfers_.extract(told->easy_handle);
        curl_multi_remove_handle(engine_->multi, node.key());
        node.mapped()->done(node.mapped()->result(code));
    }
}

} // namespace ebbgate::mta_sts
