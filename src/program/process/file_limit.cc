#include "program/process/file_limit.h"

#include <sys/resource.h>

namespace ebbgate::process {

void raise_file_limit() {
    rlimit files{};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

} // namespace ebbgate::process
