#include "core/plugin/trust.hpp"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include "core/base/error.hpp"

namespace graft::core {
namespace {

[[noreturn]] void refuse(const fs::path& file, const std::string& why) {
  throw Error(GRAFT_E_DENIED, cat("plugin ", file.string(), " is not loaded: ", why));
}

std::string mode_text(mode_t mode) {
  char text[8];
  std::snprintf(text, sizeof text, "%04o", static_cast<unsigned>(mode & 07777));
  return text;
}

std::string user_text(uid_t uid) {
  std::vector<char> buffer(16384);
  passwd entry{};
  passwd* found = nullptr;
  if (getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found) {
    return cat(found->pw_name, " (uid ", uid, ")");
  }
  return cat("uid ", uid);
}

// A path in quotes that a shell takes.
std::string quoted(const fs::path& path) {
  std::string out = "'";
  for (const char c : path.string()) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

// `place` is the file itself or a folder above it.
void check(const fs::path& file, const fs::path& place) {
  struct stat found {};
  if (stat(place.c_str(), &found) != 0) {
    throw Error(GRAFT_E_IO, cat("plugin ", file.string(), ": cannot look at ", place.string(), ": ",
                                std::strerror(errno), "."));
  }
  const bool itself = place == file;
  const std::string what = itself ? "the file" : cat("the folder ", place.string());
  if (itself && !S_ISREG(found.st_mode)) refuse(file, "it is not a regular file.");
  const bool sticky = S_ISDIR(found.st_mode) && (found.st_mode & S_ISVTX) && found.st_uid == 0;
  if ((found.st_mode & (S_IWGRP | S_IWOTH)) && !sticky) {
    refuse(file, cat(what, " may be written by others (mode ", mode_text(found.st_mode),
                     "). To mend it: chmod go-w ", quoted(place)));
  }
  if (found.st_uid != 0 && found.st_uid != geteuid()) {
    refuse(file, cat(what, " belongs to ", user_text(found.st_uid), ", neither to root nor to ",
                     user_text(geteuid()), " who runs this. To mend it: chown ",
                     geteuid() == 0 ? std::string("root") : std::to_string(geteuid()), " ",
                     quoted(place)));
  }
}

}  // namespace

fs::path trusted_file(const fs::path& folder, const fs::path& file) {
  std::error_code bad;
  const fs::path home = fs::canonical(folder, bad);
  const fs::path real = bad ? fs::path() : fs::canonical(file, bad);
  if (bad) {
    throw Error(GRAFT_E_NOT_FOUND, cat("plugin ", file.string(), ": ", bad.message(), "."));
  }
  if (real.parent_path() != home) {
    refuse(file, cat("it is a link that leaves its folder, to ", real.string(),
                     ". To mend it, put the file itself there: cp --remove-destination ",
                     quoted(real), " ", quoted(file)));
  }
  for (fs::path place = real;; place = place.parent_path()) {
    check(real, place);
    if (place == place.root_path()) return real;
  }
}

}  // namespace graft::core
