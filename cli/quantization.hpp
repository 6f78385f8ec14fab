// --quantize FORMAT.
#pragma once
#include <string>

#include "cli/lines.hpp"

namespace cli {

/// Of --`option`: "nf4", or "nf4:block=128,double=false", as the object of RUN.json's model.quantization.
Json quantization(const std::string& text, const std::string& option = "quantize");

}  // namespace cli
