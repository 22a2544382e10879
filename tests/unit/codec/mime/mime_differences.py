"""Where other parsers read a message differently, and why. For comparison_test.py, which checks what it can of a
reason: that the scan reported what is said to be reported, and that all names they see are among ours where that is
said."""

import email

LONG_BOUNDARY = "boundary over our limit of 256 bytes: the body is opaque; reported as no_boundary"
FOLDED_BOUNDARY = "Python keeps the fold in a quoted boundary and then finds no such line; unfolded it is there"
DECODED_MESSAGE = "Python does not decode an encoded message, and reads its digits as the message; we decode it"
NO_PARTS = "without a part Python has a leaf of type multipart; we have an empty multipart; reported as no_parts"
HALF_GROUP = "text in a base64 body leaves half a group at its end: they drop it; we and Python decode what is there"
EMPTY_HEADER = "Python takes two boundary lines in a row for one; we and mime4j see an empty part between them"
LAST_LINE_END = "no closing boundary: Python takes away the last line end of the body, which belongs to no boundary"
NEAR_BOUNDARY = "a boundary with text behind it on its line is one for mime4j, not for us; reported as near_boundary"
# For us and for Python the body begins there.
ENDS_HEADER = "they leave a line that is no field out and read on, we end the header there; reported as malformed_line"
NO_MESSAGE = "without a field GMime sees no message at all; we see a body; reported as malformed_line"
LEFT_OUT = "GMime leaves a part out whose header ends at a boundary, we see an empty body; reported as unended_header"
LEFT_OUT_BODY = "GMime leaves lines out that are no fields, and then the part without any; reported as malformed_line"
STAYS_ENCODED = "GMime leaves an encoded message encoded, as a leaf; we decode it; reported as encoded_message"
NO_SUBTYPE = "type without subtype: for GMime application/octet-stream, text/plain for us; reported as malformed_field"
NO_BOUNDARY = "without a boundary GMime has an empty multipart, we have an opaque body; reported as no_boundary"
EMPTY_BOUNDARY = "an empty boundary is one for them; we have an opaque body; reported as no_boundary"
INNER_BOUNDARY = "one boundary outside and inside: Python gives its lines to the outer one; reported as boundary_clash"
STATUS = "for Python a delivery-status holds messages of nothing but fields; it is a leaf for us"
PARTIAL = "for Python the body of message/partial is a message; it is a leaf for us; reported as partial_message"
EXTERNAL = "for Python the body of message/external-body is a message; it is a leaf for us; reported as external_body"

# Each name that they see is among ours.
ALL_READINGS = "we keep all readings: "
BACKSLASH = ALL_READINGS + "a backslash in quotes goes with one, and stays in the other"
PLAIN_EXTENDED = ALL_READINGS + "filename and filename*"
BOTH = ALL_READINGS + "the parameter comes twice"
SECTIONS = ALL_READINGS + "filename* and filename*0*; Python cannot read the two, and GMime takes one"
UNQUOTED = ALL_READINGS + "blanks or a comma in what is not quoted: the whole, and up to there"
BEHIND_QUOTES = ALL_READINGS + "what stands behind the quotes belongs to it, or not"
QUOTED_SEMICOLON = ALL_READINGS + "a semicolon within quotes that begin amid the value ends it, or not"
LATER = ALL_READINGS + "they see no parameter where the text before it is malformed, we do"
WORDS = ALL_READINGS + "encoded words in a name with text beside them, decoded or not; backslashes"
NOT_SEEN = ALL_READINGS + "they do not see the part, see the table of parts"

# These names are not among ours: the message is refused, or the name is judged alike.
REFUSED = "Python takes what is no disposition for a parameter; reported as malformed_field"
BLANK_IN_NAME = "GMime takes 'filename *' for filename*; for us a field that hides a name; reported as malformed_field"
QUOTES_STAY = "they leave quotes in a name that they do not enclose, we take them away; reported as malformed_parameter"
NO_CHARSET = "filename* with no charset: Latin-1 for Python; we try UTF-8 first"
ONE_APOSTROPHE = "filename* has no charset: we try UTF-8, they lose text; reported as malformed_parameter"

CHINESE = 'form-data; name="file"; filename="C:\\\u65b0\u5efa\u6587\u4ef6\u5939\\' + \
          '\u4e2d\u6587\u7b2c\u4e8c\u6b21\u6d4b\u8bd5.mp4"'

# Parser and subject, of a corpus: message: reason.
TABLES = {
    "Python: parts of mime4j": {
        "2002_06_12_doublebound.msg": EMPTY_HEADER,
        "double-bound.msg": EMPTY_HEADER,
        "multipartemptypart.msg": "Python takes two boundary lines in a row for one, and the epilogue for a part",
        "badbound.msg": FOLDED_BOUNDARY,
        "multi-badnames.msg": FOLDED_BOUNDARY,
        "multi-clen.msg": FOLDED_BOUNDARY,
        "multi-digest.msg": FOLDED_BOUNDARY,
        "multi-simple.msg": FOLDED_BOUNDARY,
        "jt-0498.msg": LAST_LINE_END,
        "multi-bad.msg": LAST_LINE_END,
        "twopart.msg": "Python does not know 'base64 ' with a blank behind it, and leaves it encoded",
        "multi-2gifs-base64.msg": DECODED_MESSAGE,
        "bad-newlines-multiple-parts-base64.msg": DECODED_MESSAGE,
        "base64encoded-rfc822message-nested.msg": DECODED_MESSAGE,
        "base64encoded-rfc822message.msg": DECODED_MESSAGE,
        "ending-boundaries.msg": NO_PARTS,
        "missing-boundary.msg": NO_PARTS,
        "missing-inner-boundary.msg": NO_PARTS,
        "missing-inner-start-boundary.msg": NO_PARTS,
        "multipartnopart.msg": NO_PARTS,
        "obsolete.msg": "'Subject :' ends the header for Python, and the name with 8 bits for us; reported as malformed_line",
        "very-long-boundary.msg": LONG_BOUNDARY,
        "very-very-long-boundary.msg": LONG_BOUNDARY,
        "weird-boundary.msg": "Python takes blanks at a boundary's end away (RFC 2046 forbids them); reported as odd_boundary",
    },
    "Python: names of mime4j": {
        "multi-2evil.msg": WORDS,
        "multi-2gifs-base64.msg": NOT_SEEN,
        "multi-badnames.msg": NOT_SEEN,
    },
    "GMime: parts of mime4j": {
        "2002_06_12_doublebound.msg": LEFT_OUT,
        "double-bound.msg": LEFT_OUT,
        "multipartemptypart.msg": LEFT_OUT,
        "frag.msg": HALF_GROUP,
        "multi-frag.msg": HALF_GROUP,
        "hdr-fakeout.msg": ENDS_HEADER,
        "basic-plain-with-bad-header-separator.msg": ENDS_HEADER,
        "malformedHeader-nocrlfcrlf.msg": ENDS_HEADER,
        "malformedHeaderStartsBody-nocrlfcrlf.msg": ENDS_HEADER,
        "obsolete.msg": ENDS_HEADER,
        "malformedHeader-noheader.msg": NO_MESSAGE,
        "malformedHeaderStartsBody-noheader.msg": NO_MESSAGE,
        "multi-2gifs-base64.msg": STAYS_ENCODED,
        "bad-newlines-multiple-parts-base64.msg": STAYS_ENCODED,
        "base64encoded-rfc822message-nested.msg": STAYS_ENCODED,
        "base64encoded-rfc822message.msg": STAYS_ENCODED,
        "multi-bad.msg": "of two Content-Type fields GMime takes the last, we the first; reported as doubled_field",
        "multi-digest.msg": NO_SUBTYPE,
        "very-long-boundary.msg": LONG_BOUNDARY,
        "very-very-long-boundary.msg": LONG_BOUNDARY,
    },
    "GMime: names of mime4j": {
        "multi-2evil.msg": WORDS,
        "multi-2gifs-base64.msg": NOT_SEEN,
    },
    "mime4j: parts of mime4j": {
        "frag.msg": HALF_GROUP,
        "multi-frag.msg": HALF_GROUP,
        "hdr-fakeout.msg": ENDS_HEADER,
        "basic-plain-with-bad-header-separator.msg": ENDS_HEADER,
        "ending-boundaries.msg": NEAR_BOUNDARY,
        "malformedHeader-nocrlfcrlf.msg": ENDS_HEADER,
        "malformedHeader-noheader.msg": ENDS_HEADER,
        "malformedHeaderStartsBody-nocrlfcrlf.msg": ENDS_HEADER,
        "malformedHeaderStartsBody-noheader.msg": ENDS_HEADER,
        "obsolete.msg": ENDS_HEADER,
        "very-long-boundary.msg": LONG_BOUNDARY,
        "very-very-long-boundary.msg": LONG_BOUNDARY,
    },
    "Python: parts of python": {
        "msg_15.txt": INNER_BOUNDARY,
        "msg_39.txt": INNER_BOUNDARY,
        "msg_16.txt": STATUS,
        "msg_43.txt": STATUS,
        "msg_17.txt": NO_PARTS,
        "msg_31.txt": NO_PARTS,
        "msg_42.txt": NO_PARTS,
        "msg_36.txt": EXTERNAL,
        "msg_37.txt": EMPTY_HEADER,
    },
    "Python: names of python": {
        "msg_15.txt": NOT_SEEN,
    },
    "GMime: parts of python": {
        "msg_14.txt": NO_SUBTYPE,
        "msg_19.txt": NO_MESSAGE,
        "msg_25.txt": NO_BOUNDARY,
        "msg_41.txt": NO_BOUNDARY,
        "msg_35.txt": ENDS_HEADER,
        "msg_47.txt": ENDS_HEADER,
        "msg_37.txt": LEFT_OUT,
        "msg_38.txt": LEFT_OUT_BODY,
        "msg_39.txt": HALF_GROUP,
    },
    "Python: parts of gmime": {
        "message-partial.0.eml": PARTIAL,
        "message-partial.1.eml": PARTIAL,
        "message-partial.2.eml": PARTIAL,
        "substring.mbox 1": LAST_LINE_END,
        "substring.mbox 2": INNER_BOUNDARY,
        "substring.mbox 3": EMPTY_BOUNDARY,
    },
    "GMime: parts of gmime": {
        "substring.mbox 3": EMPTY_BOUNDARY,
    },
    "Python: parts of go": {
        'message/external-body; access-type=URL; URL*0="ftp://";'
        'URL*1="cs.utk.edu/pub/moore/bulk-mailer/bulk-mailer.tar"': EXTERNAL,
    },
    "Python: names of go": {
        r'attachment; filename="f\oo.html"': BACKSLASH,
        r'attachment; filename="foo-%\41.html"': BACKSLASH,
        r'form-data; name="file"; filename="C:\dev\go\robots.txt"': BACKSLASH,
        CHINESE: BACKSLASH,
        r'attachment; foo="\"\\";filename="foo.html"': LATER,
        'attachment; foo=foo filename=bar': LATER,
        'attachment filename=bar': LATER,
        '"foo; filename=bar;baz"; filename=qux': QUOTED_SEMICOLON,
        'attachment; filename=foo"bar;baz"qux': QUOTED_SEMICOLON,
        'attachment; filename=bar foo=foo': UNQUOTED,
        'attachment; filename=foo.html, attachment; filename=bar.html': UNQUOTED,
        """attachment; filename="foo-ae.html"; filename*=UTF-8''foo-%c3%a4.html""": PLAIN_EXTENDED,
        """attachment; filename*=UTF-8''foo-%c3%a4.html; filename="foo-ae.html\"""": PLAIN_EXTENDED,
        "attachment; filename*0*=ISO-8859-15''euro-sign%3d%a4; filename*=ISO-8859-1''currency-sign%3d%a4": SECTIONS,
        'attachment; filename="foo.html"; filename="bar.html"': BOTH,
        'filename=foo.html': REFUSED,
        'filename=foo.html, filename=bar.html': REFUSED,
        'filename=foo.html; attachment': REFUSED,
        'attachment; filename="foo.html".txt': QUOTES_STAY,
        'attachment; filename="bar': QUOTES_STAY,
        "attachment; filename*=''foo-%c3%a4-%e2%82%ac.html": NO_CHARSET,
        "attachment; filename*=UTF-8'foo-%c3%a4.html": ONE_APOSTROPHE,
    },
    "GMime: names of go": {
        r'attachment; filename="f\oo.html"': BACKSLASH,
        r'attachment; filename="foo-%\41.html"': BACKSLASH,
        r'form-data; name="file"; filename="C:\dev\go\robots.txt"': BACKSLASH,
        CHINESE: BACKSLASH,
        'filename=foo.html, filename=bar.html': LATER,
        ': inline; attachment; filename=foo.html': LATER,
        'inline; attachment; filename=foo.html': LATER,
        'attachment; inline; filename=foo.html': LATER,
        'attachment; foo=foo filename=bar': LATER,
        'attachment filename=bar': LATER,
        '"foo; filename=bar;baz"; filename=qux': LATER,
        'attachment; filename=foo"bar;baz"qux': QUOTED_SEMICOLON,
        'attachment; filename=bar foo=foo': UNQUOTED,
        'attachment; filename=foo.html, attachment; filename=bar.html': UNQUOTED,
        'attachment; filename="foo.html".txt': BEHIND_QUOTES,
        """attachment; filename="foo-ae.html"; filename*=UTF-8''foo-%c3%a4.html""": PLAIN_EXTENDED,
        """attachment; filename*=UTF-8''foo-%c3%a4.html; filename="foo-ae.html\"""": PLAIN_EXTENDED,
        "attachment; filename*0*=ISO-8859-15''euro-sign%3d%a4; filename*=ISO-8859-1''currency-sign%3d%a4": SECTIONS,
        'attachment; filename="foo.html"; filename="bar.html"': BOTH,
        "attachment; filename *=UTF-8''foo-%c3%a4.html": BLANK_IN_NAME,
        'attachment; filename="bar': QUOTES_STAY,
        "attachment; filename*=UTF-8'foo-%c3%a4.html": ONE_APOSTROPHE,
    },
}

# Newer ones do.
if email.message_from_string("Content-Transfer-Encoding: base64 \n\nYQ==\n").get_payload(decode=True) == b"a":
    del TABLES["Python: parts of mime4j"]["twopart.msg"]
