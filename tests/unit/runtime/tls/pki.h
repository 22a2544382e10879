// Certificates for tests, made by the openssl program: a root, an authority below it, and leaves
// with one fault each.

#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace ebbgate::tls {

class pki {
public:
    pki() {
        char name[] = "/tmp/ebbgate-pki-XXXXXX";
        EXPECT_NE(mkdtemp(name), nullptr);
        folder_ = name;
        make_authority("root", "", "basicConstraints=critical,CA:TRUE");
        make_authority("other", "", "basicConstraints=critical,CA:TRUE");
        make_authority(
            "inter", "root", "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=keyCertSign");
        make_authority("below", "inter", "basicConstraints=critical,CA:TRUE");
        make_authority("narrow",
                       "root",
                       "basicConstraints=critical,CA:TRUE\n"
                       "nameConstraints=critical,permitted;DNS:allowed.test");
        make_authority(
            "nosign", "root", "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,cRLSign");
        make_authority("old", "root", "basicConstraints=critical,CA:TRUE", -1);
        make_leaf("good", "inter", "subjectAltName=DNS:mx.test,DNS:*.wild.test");
        make_leaf("expired", "inter", "subjectAltName=DNS:mx.test", -1);
        make_leaf("client", "inter", "subjectAltName=DNS:mx.test\nextendedKeyUsage=clientAuth");
        make_leaf("toodeep", "below", "subjectAltName=DNS:mx.test");
        make_leaf("forbidden", "narrow", "subjectAltName=DNS:mx.test");
        make_leaf("permitted", "narrow", "subjectAltName=DNS:mx.allowed.test");
        make_leaf("unsigned", "nosign", "subjectAltName=DNS:mx.test");
        make_leaf("stale", "old", "subjectAltName=DNS:mx.test");
        make_leaf("byleaf", "good", "subjectAltName=DNS:mx.test");
        make_leaf("cnonly", "inter", "keyUsage=digitalSignature", 2, "mx.test");
        make_leaf("alone", "", "subjectAltName=DNS:mx.test");
        self_serial_ = " -set_serial 0";
        make_authority("zero", "", "basicConstraints=critical,CA:TRUE");
        self_serial_.clear();
        make_leaf("byzero", "zero", "subjectAltName=DNS:mx.test");
        key_ = "rsa:2048";
        make_authority("rsaroot", "", "basicConstraints=critical,CA:TRUE");
        make_leaf("rsa", "rsaroot", "subjectAltName=DNS:mx.test");
        key_ = "ed25519";
        make_leaf("ed", "rsaroot", "subjectAltName=DNS:mx.test");
    }

    ~pki() { std::filesystem::remove_all(folder_); }

    pki(const pki&) = delete;
    pki& operator=(const pki&) = delete;

    [[nodiscard]] std::string path(const std::string& name) const { return folder_ + "/" + name; }

    [[nodiscard]] std::string pem(const std::string& name) const {
        std::ifstream file(path(name + ".pem"));
        return {std::istreambuf_iterator<char>(file), {}};
    }

    // NAME.chain: the named certificates, one behind the other.
    template <typename... names>
    std::string bundle(const std::string& name, names... parts) {
        std::ofstream file(path(name));
        ((file << pem(parts)), ...);
        return path(name);
    }

private:
    static void run(const std::string& command) {
        ASSERT_EQ(std::system((command + " 2>/dev/null >/dev/null").c_str()), 0) << command;
    }

    void make(const std::string& name,
              const std::string& issuer,
              const std::string& extensions,
              int days,
              const std::string& common_name) {
        std::ofstream(path(name + ".ext")) << extensions << "\n";
        run("openssl req -new -newkey " + key_ + " -nodes -subj '/CN=" + common_name +
            "' -keyout " + path(name + ".key") + " -out " + path(name + ".csr"));
        const std::string by = issuer.empty() ? " -signkey " + path(name + ".key") + self_serial_
                                              : " -CA " + path(issuer + ".pem") + " -CAkey " +
                                                    path(issuer + ".key") + " -CAcreateserial";
        run("openssl x509 -req -days " + std::to_string(days) + " -in " + path(name + ".csr") + by +
            " -extfile " + path(name + ".ext") + " -out " + path(name + ".pem"));
    }

    void make_authority(const std::string& name,
                        const std::string& issuer,
                        const std::string& extensions,
                        int days = 2) {
        make(name, issuer, extensions, days, "Test " + name);
    }

    void make_leaf(const std::string& name,
                   const std::string& issuer,
                   const std::string& extensions,
                   int days = 2,
                   const std::string& common_name = "leaf") {
        make(name, issuer, extensions, days, common_name);
    }

    std::string folder_;
    std::string self_serial_;
    std::string key_ = "ec -pkeyopt ec_paramgen_curve:prime256v1";
};

} // namespace ebbgate::tls
