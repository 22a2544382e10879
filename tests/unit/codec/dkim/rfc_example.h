// Keys and signed messages of RFC 6376 (appendix A) and RFC 8463 (appendix A).

#pragma once

#include "ebbgate/base/bytes.h"
#include "ebbgate/dkim/key.h"

#include "crypto/base64.h"
#include "crypto/ed25519.h"
#include "crypto/pem.h"

#include <string>
#include <vector>

namespace ebbgate::dkim::rfc {

inline constexpr byte_view rsa_pem_8463 =
    "-----BEGIN RSA PRIVATE KEY-----\n"
    "MIICXQIBAAKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQi\n"
    "Y/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqM\n"
    "KrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB\n"
    "AoGAH0cxOhFZDgzXWhDhnAJDw5s4roOXN4OhjiXa8W7Y3rhX3FJqmJSPuC8N9vQm\n"
    "6SVbaLAE4SG5mLMueHlh4KXffEpuLEiNp9Ss3O4YfLiQpbRqE7Tm5SxKjvvQoZZe\n"
    "zHorimOaChRL2it47iuWxzxSiRMv4c+j70GiWdxXnxe4UoECQQDzJB/0U58W7RZy\n"
    "6enGVj2kWF732CoWFZWzi1FicudrBFoy63QwcowpoCazKtvZGMNlPWnC7x/6o8Gc\n"
    "uSe0ga2xAkEA8C7PipPm1/1fTRQvj1o/dDmZp243044ZNyxjg+/OPN0oWCbXIGxy\n"
    "WvmZbXriOWoSALJTjExEgraHEgnXssuk7QJBALl5ICsYMu6hMxO73gnfNayNgPxd\n"
    "WFV6Z7ULnKyV7HSVYF0hgYOHjeYe9gaMtiJYoo0zGN+L3AAtNP9huqkWlzECQE1a\n"
    "licIeVlo1e+qJ6Mgqr0Q7Aa7falZ448ccbSFYEPD6oFxiOl9Y9se9iYHZKKfIcst\n"
    "o7DUw1/hz2Ck4N5JrgUCQQCyKveNvjzkkd8HjYs0SwM0fPjK16//5qDZ2UiDGnOe\n"
    "uEzxBDAr518Z8VFbR41in3W4Y3yCDgQlLlcETrS+zYcL\n"
    "-----END RSA PRIVATE KEY-----\n";

inline constexpr byte_view rsa_pem_6376 =
    "-----BEGIN RSA PRIVATE KEY-----\n"
    "MIICXwIBAAKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYtIxN2SnFC\n"
    "jxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rcac2gb\n"
    "to/NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB\n"
    "AoGBALmn+XwWk7akvkUlqb+dOxyLB9i5VBVfje89Teolwc9YJT36BGN/l4e0l6QX\n"
    "/1//6DWUTB3KI6wFcm7TWJcxbS0tcKZX7FsJvUz1SbQnkS54DJck1EZO/BLa5ckJ\n"
    "gAYIaqlA9C0ZwM6i58lLlPadX/rtHb7pWzeNcZHjKrjM461ZAkEA+itss2nRlmyO\n"
    "n1/5yDyCluST4dQfO8kAB3toSEVc7DeFeDhnC1mZdjASZNvdHS4gbLIA1hUGEF9m\n"
    "3hKsGUMMPwJBAPW5v/U+AWTADFCS22t72NUurgzeAbzb1HWMqO4y4+9Hpjk5wvL/\n"
    "eVYizyuce3/fGke7aRYw/ADKygMJdW8H/OcCQQDz5OQb4j2QDpPZc0Nc4QlbvMsj\n"
    "7p7otWRO5xRa6SzXqqV3+F0VpqvDmshEBkoCydaYwc2o6WQ5EBmExeV8124XAkEA\n"
    "qZzGsIxVP+sEVRWZmW6KNFSdVUpk3qzK0Tz/WjQMe5z0UunY9Ax9/4PVhp/j61bf\n"
    "eAYXunajbBSOLlx4D+TunwJBANkPI5S9iylsbLs6NkaMHV6k5ioHBBmgCak95JGX\n"
    "GMot/L2x0IYyMLAz6oLWh2hm7zwtb0CgOrPo1ke44hFYnfc=\n"
    "-----END RSA PRIVATE KEY-----\n";

inline key_pointer ed25519_key_8463() {
    const auto seed = crypto::from_base64("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=");
    return std::make_shared<const signing_key>(
        crypto::ed25519_private_key::from_seed(seed.value()).value());
}

// Each field with its CRLF; the first is the signature up to "b=", the second its value.
struct example {
    std::vector<std::string> fields;
    std::string value;
    std::string behind; // Follows the value, and is signed.
    std::string body;
    key_pointer key;
    std::string record_name;
};

inline std::vector<std::string> usual_fields() {
    return {"From: Joe SixPack <joe@football.example.com>\r\n",
            "To: Suzie Q <suzie@shopping.example.net>\r\n",
            "Subject: Is dinner ready?\r\n",
            "Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n",
            "Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n"};
}

inline example ed25519_8463() {
    example one;
    one.fields = usual_fields();
    one.fields.insert(one.fields.begin(),
                      "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
                      " d=football.example.com; i=@football.example.com;\r\n"
                      " q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
                      " subject : date : message-id : from : subject : date;\r\n"
                      " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
                      " b=");
    one.value = "/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus"
                "Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==";
    one.body = "Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n";
    one.key = ed25519_key_8463();
    one.record_name = "brisbane._domainkey.football.example.com";
    return one;
}

inline example rsa_8463() {
    example one = ed25519_8463();
    one.fields[0] = "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n"
                    " d=football.example.com; i=@football.example.com;\r\n"
                    " q=dns/txt; s=test; t=1528637909; h=from : to : subject :\r\n"
                    " date : message-id : from : subject : date;\r\n"
                    " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
                    " b=";
    one.value = "F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3"
                "DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz"
                "dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=";
    one.key = parse_key(rsa_pem_8463).value();
    one.record_name = "test._domainkey.football.example.com";
    return one;
}

inline example rsa_6376() {
    example one;
    one.fields = usual_fields();
    one.fields.insert(one.fields.begin(),
                      "Received: from client1.football.example.com  [192.0.2.1]\r\n"
                      "      by submitserver.example.com with SUBMISSION;\r\n"
                      "      Fri, 11 Jul 2003 21:01:54 -0700 (PDT)\r\n");
    one.fields.insert(one.fields.begin(),
                      "DKIM-Signature: v=1; a=rsa-sha256; s=brisbane; d=example.com;\r\n"
                      "      c=simple/simple; q=dns/txt; i=joe@football.example.com;\r\n"
                      "      h=Received : From : To : Subject : Date : Message-ID;\r\n"
                      "      bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
                      "      b=");
    one.value = "AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB"
                "4nujc7YopdG5dWLSdNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHut"
                "KVdkLLkpVaVVQPzeRDI009SO2Il5Lu7rDNH6mZckBdrIx0orEtZV"
                "4bmp/YzhwvcubU4=";
    one.body = "Hi.\r\n\r\nWe lost the game. Are you hungry yet?\r\n\r\nJoe.\r\n";
    one.behind = ";";
    one.key = parse_key(rsa_pem_6376).value();
    one.record_name = "brisbane._domainkey.example.com";
    return one;
}

} // namespace ebbgate::dkim::rfc
