#include "relay/signing_batch.h"

#include <utility>

namespace ebbgate::relay {

void signing_batch::add(signing_request& request) {
    waiting_.push_back(&request);
    if (!std::exchange(posted_, true)) {
        reactor_.post([this] { run(); });
    }
}

void signing_batch::run() {
    posted_ = false;
    const std::vector<signing_request*> turn = std::exchange(waiting_, {});
    std::vector<dkim::prepared_signature*> all;
    for (signing_request* request : turn) {
        for (dkim::prepared_signature& signature : request->signatures) {
            all.push_back(&signature);
        }
    }
    dkim::sign(all);
    for (signing_request* request : turn) {
        request->on_signed(*request);
    }
}

} // namespace ebbgate::relay
