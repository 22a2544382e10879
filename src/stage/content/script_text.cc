#include "stage/content/script_text.h"

#include <algorithm>
#include <string>

namespace ebbgate::content {

namespace {

constexpr std::size_t looked_at_max = 4 * kib;

struct opening {
    std::string_view text; // Lower case.
    text_kind kind;
};

// At the very start, behind blanks and a byte order mark.
constexpr opening openings[] = {
    {"<?php", text_kind::script},
    {"<?=", text_kind::script},
    {"<%@", text_kind::script},
    {"<job>", text_kind::script},
    {"<job ", text_kind::script},
    {"<package>", text_kind::script},
    {"<scriptlet", text_kind::script},
    {"<hta:application", text_kind::script},
    {"@echo off", text_kind::script},
    {"@set ", text_kind::script},
    {"rem @echo", text_kind::script},
    {"windows registry editor version", text_kind::script},
    {"regedit4", text_kind::script},
    {"on error resume next", text_kind::script},
    {"[internetshortcut]", text_kind::shortcut},
    {"[desktop entry]", text_kind::shortcut},
    {"#@~^", text_kind::script},
};

// Anywhere in the block: one is enough.
constexpr std::string_view certain[] = {
    "<hta:application",
    "wscript.createobject(",
    "new activexobject(",
    "activexobject(\"wscript.shell",
    "createobject(\"wscript.shell\")",
    "<script language=\"vbscript",
    "<script language=\"jscript",
};

// Two of these make a script of a text; prose about scripts has seldom two in its first lines.
constexpr std::string_view telling[] = {
    "param(",
    "invoke-expression",
    "iex(",
    "iex (",
    "| iex",
    "new-object net.webclient",
    "new-object system.net.webclient",
    ".downloadstring(",
    ".downloadfile(",
    "[convert]::frombase64string(",
    "[system.convert]::frombase64string(",
    "-executionpolicy bypass",
    "-encodedcommand",
    "-windowstyle hidden",
    "start-process ",
    "set-executionpolicy ",
    "$erroractionpreference",
    "createobject(",
    "wscript.",
    "os.system(",
    "subprocess.",
    "eval(",
};

// Lower-case ASCII of the text; of UTF-16 every other byte.
std::string folded(byte_view block) {
    block = block.substr(0, looked_at_max);
    const bool little = block.starts_with("\xff\xfe");
    const bool big = block.starts_with("\xfe\xff");
    if (block.starts_with("\xef\xbb\xbf")) {
        block.remove_prefix(3);
    }
    std::string out;
    if (little || big) {
        out.reserve(block.size() / 2);
        for (std::size_t at = little ? 2 : 3; at < block.size(); at += 2) {
            out += block[at];
        }
    } else {
        out = block;
    }
    for (char& c : out) { // By vectors, where nothing is appended.
        c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    return out;
}

bool is_binary(byte_view text) noexcept {
    return text.find('\0') != byte_view::npos;
}

// "#!/bin/sh", "#! /usr/bin/env": not "#!hello".
bool has_interpreter_line(byte_view text) noexcept {
    if (!text.starts_with("#!")) {
        return false;
    }
    text.remove_prefix(2);
    const std::size_t path = text.find_first_not_of(" \t");
    return path != byte_view::npos && text[path] == '/';
}

} // namespace

text_kind sniff_text(byte_view block) {
    const std::string all = folded(block);
    byte_view text = all;
    if (has_interpreter_line(text)) {
        return text_kind::script; // The kernel does not skip blanks before it.
    }
    text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n\f\v"), text.size()));
    for (const opening& one : openings) {
        if (text.starts_with(one.text)) {
            return one.kind;
        }
    }
    if (text.starts_with("<?xml")) {
        const byte_view rest = text.substr(0, 512);
        if (rest.find("<job") != byte_view::npos || rest.find("<package>") != byte_view::npos ||
            rest.find("<scriptlet") != byte_view::npos) {
            return text_kind::script;
        }
    }
    if (is_binary(text)) {
        return text_kind::other;
    }
    const auto has = [text](std::string_view what) { return text.find(what) != byte_view::npos; };
    if (std::any_of(std::begin(certain), std::end(certain), has) ||
        std::count_if(std::begin(telling), std::end(telling), has) >= 2) {
        return text_kind::script;
    }
    return text_kind::other;
}

} // namespace ebbgate::content
