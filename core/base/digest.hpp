// SHA-256 of bytes that come piece by piece; sha256_hex() in file.hpp does it in one call.
#pragma once
#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace graft::core {

class Sha256 {
 public:
  Sha256();
  void add(std::span<const std::byte> bytes);
  void add(std::string_view text);
  /// Hexadecimal, lower case, 64 characters. Ends the digest: nothing may be added afterwards.
  std::string hex();

 private:
  std::shared_ptr<void> context_;
};

std::string sha256_hex(std::string_view text);

}  // namespace graft::core
