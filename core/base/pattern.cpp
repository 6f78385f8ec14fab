#include "core/base/pattern.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <memory>

#include "core/base/error.hpp"

namespace graft::core {

bool full_match(std::string_view pattern, std::string_view text, std::string_view who) {
  int code = 0;
  PCRE2_SIZE where = 0;
  const std::unique_ptr<pcre2_code, decltype(&pcre2_code_free)> compiled(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), PCRE2_UTF, &code,
                    &where, nullptr),
      pcre2_code_free);
  if (!compiled) {
    PCRE2_UCHAR message[128] = {};
    pcre2_get_error_message(code, message, sizeof message);
    throw Error(GRAFT_E_INVALID,
                cat(who, ": '", pattern, "' is not a regular expression: ",
                    reinterpret_cast<const char*>(message), " at character ", where, "."));
  }
  const std::unique_ptr<pcre2_match_context, decltype(&pcre2_match_context_free)> limits(
      pcre2_match_context_create(nullptr), pcre2_match_context_free);
  pcre2_set_match_limit(limits.get(), 100000);
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> result(
      pcre2_match_data_create_from_pattern(compiled.get(), nullptr), pcre2_match_data_free);
  const int found =
      pcre2_match(compiled.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0,
                  PCRE2_ANCHORED | PCRE2_ENDANCHORED, result.get(), limits.get());
  if (found == PCRE2_ERROR_NOMATCH) return false;
  if (found < 0) {
    throw Error(GRAFT_E_INVALID, cat(who, ": the regular expression '", pattern,
                                     "' takes too long on '", text, "'."));
  }
  return true;
}

}  // namespace graft::core
