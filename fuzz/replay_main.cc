// Runs a fuzz target over files, as an ordinary test: every compiler builds the targets, and a
// corpus file that once broke something is tried again in every build.
//
// Input   Files, or folders whose files are taken in order of their names.
// Fails   With 1 when a path cannot be read, with 2 when no file was found; a target that finds
//         a fault aborts, and the last line printed names the file.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t byte_count);

namespace {

std::vector<std::filesystem::path> files_below(const std::filesystem::path& path,
                                               std::error_code& error) {
    if (!std::filesystem::is_directory(path, error)) {
        return {path};
    }
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path, error)) {
        if (entry.is_regular_file()) {
            files.push_back(entry.path());
        }
    }
    std::sort(files.begin(), files.end());
    return files;
}

void run(const std::vector<std::uint8_t>& bytes) {
    // A copy of the exact size, so that the address sanitizer sees a read past the end.
    const std::vector<std::uint8_t> exact(bytes.begin(), bytes.end());
    static const std::uint8_t nothing = 0;
    (void)LLVMFuzzerTestOneInput(exact.empty() ? &nothing : exact.data(), exact.size());
}

} // namespace

int main(int argc, char** argv) {
    std::size_t file_count = 0;
    run({});
    for (int index = 1; index < argc; ++index) {
        std::error_code error;
        const auto files = files_below(argv[index], error);
        if (error) {
            std::fprintf(stderr, "%s: %s\n", argv[index], error.message().c_str());
            return 1;
        }
        for (const auto& file : files) {
            std::ifstream in(file, std::ios::binary);
            if (!in) {
                std::fprintf(stderr, "%s: cannot be read\n", file.c_str());
                return 1;
            }
            // Printed before the run: if the target aborts, this names the culprit.
            std::printf("%s\n", file.c_str());
            std::fflush(stdout);
            run(std::vector<std::uint8_t>((std::istreambuf_iterator<char>(in)), {}));
            ++file_count;
        }
    }
    std::printf("%zu files replayed\n", file_count);
    return file_count == 0 ? 2 : 0;
}
