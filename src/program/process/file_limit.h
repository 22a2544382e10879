// How many files the process may have open.
//
// Fails   Never: what the kernel does not grant shows when a socket is refused.

#pragma once

namespace ebbgate::process {

// As many as the administrator allows.
void raise_file_limit();

} // namespace ebbgate::process
