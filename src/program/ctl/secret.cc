#include "program/ctl/secret.h"

#include "crypto/password.h"
#include "crypto/token.h"

#include <sys/signalfd.h>
#include <sys/stat.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <optional>
#include <poll.h>
#include <string_view>
#include <termios.h>
#include <unistd.h>

namespace ebbgate::ctl {

namespace {

struct descriptor {
    int fd = -1;

    explicit descriptor(int number) : fd(number) {}

    descriptor(const descriptor&) = delete;
    descriptor& operator=(const descriptor&) = delete;

    ~descriptor() {
        if (fd >= 0) {
            close(fd);
        }
    }
};

// Echo is off while it lives. Signals that would end or stop us wait until the terminal is back.
class quiet_terminal {
public:
    explicit quiet_terminal(int terminal) : terminal_(terminal), pending_(-1) {
        sigemptyset(&signals_);
        for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP}) {
            sigaddset(&signals_, number);
        }
        sigprocmask(SIG_BLOCK, &signals_, &mask_before_);
        pending_.fd = signalfd(-1, &signals_, SFD_CLOEXEC);
        usable_ = pending_.fd >= 0 && tcgetattr(terminal, &before_) == 0;
        if (usable_) {
            termios quiet = before_;
            quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
            usable_ = tcsetattr(terminal, TCSAFLUSH, &quiet) == 0;
        }
    }

    ~quiet_terminal() {
        if (usable_) {
            (void)tcsetattr(terminal_, TCSAFLUSH, &before_);
        }
        sigprocmask(SIG_SETMASK, &mask_before_, nullptr); // Now a signal that came is delivered.
    }

    quiet_terminal(const quiet_terminal&) = delete;
    quiet_terminal& operator=(const quiet_terminal&) = delete;

    [[nodiscard]] bool usable() const { return usable_; }

    // False: a signal came instead.
    [[nodiscard]] bool wait() const {
        pollfd waiting[2] = {{terminal_, POLLIN, 0}, {pending_.fd, POLLIN, 0}};
        return poll(waiting, 2, -1) > 0 && waiting[1].revents == 0;
    }

private:
    int terminal_;
    descriptor pending_; // Only looked at, never read: the signal stays pending.
    sigset_t signals_{};
    sigset_t mask_before_{};
    termios before_{};
    bool usable_ = false;
};

template <typename ready>
std::optional<std::string> read_line(int fd, const ready& wait) {
    std::string line;
    char c = 0;
    while (line.size() <= crypto::password_bytes_max && wait()) {
        const ssize_t got = read(fd, &c, 1); // By the byte: what follows the line is not ours.
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0 || (got == 0 && line.empty())) {
            return std::nullopt;
        }
        if (got == 0 || c == '\n') {
            if (line.ends_with('\r')) {
                line.pop_back();
            }
            return line;
        }
        line += c;
    }
    return std::nullopt;
}

std::expected<std::string, std::string> prompt_twice() {
    const descriptor terminal(open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY));
    if (terminal.fd < 0) {
        return std::unexpected("no terminal to ask for the password; use --password-stdin");
    }
    std::string first;
    const quiet_terminal quiet(terminal.fd);
    if (!quiet.usable()) {
        return std::unexpected("the terminal would show the password; use --password-stdin");
    }
    for (const std::string_view text : {"Password: ", "Once more: "}) {
        (void)!write(terminal.fd, text.data(), text.size());
        const auto line = read_line(terminal.fd, [&quiet] { return quiet.wait(); });
        (void)!write(terminal.fd, "\n", 1);
        if (!line) {
            return std::unexpected("no password was given");
        }
        if (text.starts_with('P')) {
            first = *line;
        } else if (first != *line) {
            return std::unexpected("the two are not the same");
        }
    }
    return first;
}

} // namespace

std::expected<std::string, std::string> read_password_hash(bool from_stdin) {
    std::expected<std::string, std::string> password;
    if (from_stdin) {
        auto line = read_line(STDIN_FILENO, [] { return true; });
        if (!line) {
            return std::unexpected("expected a password as the first line of the input");
        }
        password = std::move(*line);
    } else {
        password = prompt_twice();
    }
    if (!password) {
        return password;
    }
    const auto hash = crypto::hash_password(*password);
    explicit_bzero(password->data(), password->size());
    if (!hash) {
        return std::unexpected("expected a password of 1 to 511 bytes");
    }
    return *hash;
}

std::expected<std::string, std::string> read_token_file(const std::string& path) {
    const descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat found{};
    if (file.fd < 0 || fstat(file.fd, &found) != 0) {
        return std::unexpected(path + ": " + std::strerror(errno));
    }
    if ((found.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        return std::unexpected(path + ": others can read the token; expected mode 0600");
    }
    auto line = read_line(file.fd, [] { return true; });
    if (!line || !crypto::is_token(*line)) {
        return std::unexpected(path + ": expected a token as the first line");
    }
    return std::move(*line);
}

} // namespace ebbgate::ctl
