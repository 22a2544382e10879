// Archives made by hand for tests, right or wrong in one place.
//
// Owner   Free functions.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>
#include <zlib.h>

namespace ebbgate::content {

inline std::string little(std::uint64_t value, int bytes) {
    std::string out;
    for (int i = 0; i < bytes; ++i) {
        out += static_cast<char>(value >> (8 * i));
    }
    return out;
}

struct zip_member {
    std::string name;
    std::string data = "data";
    std::string central_name = {}; // Empty: the same.
    unsigned flags = 0;
    unsigned method = 0;
    int descriptor = 0; // Bytes of one behind the data, whose size the header then does not say.
    std::string extra = {};
};

struct zip_parts {
    std::string prefix = {};
    std::string comment = {};
    std::string behind = {};
    bool without_central = false;
};

inline std::string zip(const std::vector<zip_member>& members, const zip_parts& parts = {}) {
    std::string out = parts.prefix;
    std::string central;
    for (const zip_member& one : members) {
        const unsigned flags = one.flags | (one.descriptor > 0 ? 8U : 0U);
        const std::uint64_t known = one.descriptor > 0 ? 0 : one.data.size();
        const std::string& name = one.central_name.empty() ? one.name : one.central_name;
        central += "PK\x01\x02" + little(20, 2) + little(20, 2) + little(flags, 2) +
                   little(one.method, 2) + little(0, 4) + little(0, 4) +
                   little(one.data.size(), 4) + little(one.data.size(), 4) +
                   little(name.size(), 2) + little(0, 2) + little(0, 2) + little(0, 4) +
                   little(0, 4) + little(out.size(), 4) + name;
        out += "PK\x03\x04" + little(20, 2) + little(flags, 2) + little(one.method, 2) +
               little(0, 4) + little(0, 4) + little(known, 4) + little(known, 4) +
               little(one.name.size(), 2) + little(one.extra.size(), 2) + one.name + one.extra +
               one.data;
        const bool marked = one.descriptor == 16 || one.descriptor == 24;
        if (one.descriptor > 0) {
            const int size_bytes = one.descriptor >= 20 ? 8 : 4;
            out += (marked ? "PK\x07\x08" : "") + little(0, 4) +
                   little(one.data.size(), size_bytes) + little(one.data.size(), size_bytes);
        }
    }
    if (parts.without_central) {
        return out;
    }
    const std::size_t at = out.size();
    out += central;
    out += "PK\x05\x06" + little(0, 4) + little(members.size(), 2) + little(members.size(), 2) +
           little(central.size(), 4) + little(at, 4) + little(parts.comment.size(), 2) +
           parts.comment + parts.behind;
    return out;
}

inline std::string octal(std::uint64_t value, std::size_t digits) {
    std::string out(digits, '0');
    for (std::size_t i = digits; i > 0; --i, value /= 8) {
        out[i - 1] = static_cast<char>('0' + value % 8);
    }
    return out;
}

inline std::string
tar_member(const std::string& name, std::string data, char type = '0', bool ustar = true) {
    std::string header(512, '\0');
    header.replace(0, name.size(), name);
    header.replace(100, 7, "0000644");
    header.replace(124, 11, octal(data.size(), 11));
    header.replace(136, 11, "00000000000");
    header[156] = type;
    if (ustar) {
        header.replace(257,
                       8,
                       std::string("ustar\0"
                                   "00",
                                   8));
    }
    header.replace(148, 8, 8, ' ');
    std::uint32_t sum = 0;
    for (const char c : header) {
        sum += static_cast<unsigned char>(c);
    }
    header.replace(148, 7, octal(sum, 6) + '\0');
    data.resize((data.size() + 511) / 512 * 512, '\0');
    return header + data;
}

inline std::string tar_end() {
    return std::string(1024, '\0');
}

inline std::string pax(const std::string& key, const std::string& value) {
    std::size_t length = key.size() + value.size() + 3;
    while (std::to_string(length).size() + key.size() + value.size() + 3 != length) {
        ++length;
    }
    return std::to_string(length) + ' ' + key + '=' + value + '\n';
}

inline std::string gzip(std::string data, std::string name = {}) {
    z_stream stream{};
    deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY);
    gz_header header{};
    header.name = name.empty() ? nullptr : reinterpret_cast<Bytef*>(name.data());
    header.os = 3;
    deflateSetHeader(&stream, &header);
    std::string out(deflateBound(&stream, data.size()) + 1200, '\0');
    stream.next_in = reinterpret_cast<Bytef*>(data.data());
    stream.avail_in = static_cast<uInt>(data.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    deflate(&stream, Z_FINISH);
    out.resize(out.size() - stream.avail_out);
    deflateEnd(&stream);
    return out;
}

} // namespace ebbgate::content
