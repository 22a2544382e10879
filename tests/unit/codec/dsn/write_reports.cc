// Writes each report of report_cases.h to FOLDER/NAME.eml, and to FOLDER/cases.json what is in it.

#include "codec/json/writer.h"
#include "report_cases.h"

#include <fstream>

int main(int count, char** arguments) {
    using namespace ebbgate; // NOLINT(google-build-using-namespace): a small program.
    if (count != 2) {
        return 2;
    }
    const std::string folder = arguments[1];
    std::string text;
    json::writer out(text);
    out.begin_array();
    for (const dsn::report_case& c : dsn::report_cases()) {
        std::ofstream(folder + "/" + c.name + ".eml", std::ios::binary)
            << dsn::write_report(c.report).text;
        out.begin_object().member("name", c.name).member("last_type", c.last_type);
        out.key("found").begin_array();
        for (const dsn::found_recipient& one : c.found) {
            out.begin_object().member("address", one.address).member("action", one.action);
            out.member("status", one.status).member("original", one.original).end_object();
        }
        out.end_array().end_object();
    }
    out.end_array();
    std::ofstream(folder + "/cases.json") << text << '\n';
    return 0;
}
