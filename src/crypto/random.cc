#include "crypto/random.h"

#include "ebbgate/base/assert.h"

namespace ebbgate::crypto {
namespace {

class generator {
public:
    generator() { EBBGATE_ASSERT(wc_InitRng(&state_) == 0); }

    generator(const generator&) = delete;
    generator& operator=(const generator&) = delete;

    ~generator() { (void)wc_FreeRng(&state_); }

    [[nodiscard]] WC_RNG* get() noexcept { return &state_; }

private:
    WC_RNG state_{};
};

} // namespace

WC_RNG* thread_random() {
    thread_local generator one;
    return one.get();
}

} // namespace ebbgate::crypto
