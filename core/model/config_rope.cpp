#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/model/config.hpp"
#include "core/model/config_fields.hpp"

namespace graft::core {
namespace {

constexpr double pi = std::numbers::pi;

// Frequencies are f32 and each operation is rounded, as in transformers: one unit in the last
// place times position 8192 is an angle of about 5e-4.
using Frequencies = std::vector<float>;

// theta^(2i / dim)
Frequencies periods(double theta, std::int64_t dim) {
  Frequencies result;
  for (std::int64_t i = 0; i < dim; i += 2) {
    const float exponent = static_cast<float>(i) / static_cast<float>(dim);
    result.push_back(static_cast<float>(std::pow(theta, static_cast<double>(exponent))));
  }
  return result;
}

double required(const ConfigFields& fields, const char* key) {
  const auto value = fields.number(key);
  if (!value || *value <= 0) {
    throw Error(GRAFT_E_INVALID,
                cat(fields.who(), ": rope_type \"", fields.text("rope_type").value_or("default"),
                    "\" needs \"", key, "\" above 0."));
  }
  return *value;
}

double original_length(const ConfigFields& fields, std::int64_t max_positions) {
  if (!fields.has("original_max_position_embeddings")) return static_cast<double>(max_positions);
  return required(fields, "original_max_position_embeddings");
}

void llama3(const ConfigFields& fields, std::int64_t max_positions, Frequencies& inv_freq) {
  const double factor = required(fields, "factor"), low = required(fields, "low_freq_factor");
  const double high = required(fields, "high_freq_factor");
  const double length = original_length(fields, max_positions);
  if (!(high > low)) {
    throw Error(GRAFT_E_INVALID,
                cat(fields.who(), ": \"high_freq_factor\" must be above \"low_freq_factor\"."));
  }
  const auto longest = static_cast<float>(length / low);
  const auto shortest = static_cast<float>(length / high);
  for (float& frequency : inv_freq) {
    const float wavelength = static_cast<float>(2 * pi) / frequency;
    if (wavelength < shortest) continue;
    const float divided = frequency / static_cast<float>(factor);
    if (wavelength > longest) {
      frequency = divided;
      continue;
    }
    const float smooth = (static_cast<float>(length) / wavelength - static_cast<float>(low)) /
                         static_cast<float>(high - low);
    frequency = (1 - smooth) * frequency / static_cast<float>(factor) + smooth * frequency;
  }
}

double magnitude(double scale, double mscale) {
  return scale <= 1 ? 1.0 : 0.1 * mscale * std::log(scale) + 1.0;
}

void yarn(const ConfigFields& fields, std::int64_t max_positions, Rope& rope) {
  const double length = original_length(fields, max_positions);
  const double factor = fields.has("factor") ? required(fields, "factor")
                                             : static_cast<double>(max_positions) / length;
  const double mscale = fields.number("mscale").value_or(0);
  const double mscale_all = fields.number("mscale_all_dim").value_or(0);
  double scaling = magnitude(factor, 1);
  if (mscale != 0 && mscale_all != 0) {
    scaling = magnitude(factor, mscale) / magnitude(factor, mscale_all);
  }
  rope.attention_scaling = static_cast<float>(fields.number("attention_factor").value_or(scaling));

  const auto or_default = [&](const char* key, double otherwise) {
    const double value = fields.number(key).value_or(0);
    return value == 0 ? otherwise : value;
  };
  const auto dim = static_cast<double>(rope.rotary_dim);
  // The dimension that turns `rotations` times over the original length.
  const auto dimension = [&](double rotations) {
    return dim * std::log(length / (rotations * 2 * pi)) / (2 * std::log(rope.theta));
  };
  double low = dimension(or_default("beta_fast", 32)), high = dimension(or_default("beta_slow", 1));
  if (fields.boolean("truncate").value_or(true)) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1);
  if (low == high) high += 0.001;
  if (!std::isfinite(low) || !std::isfinite(high)) {
    throw Error(GRAFT_E_INVALID, cat(fields.who(), ": these yarn settings give no frequencies."));
  }
  const Frequencies period = periods(rope.theta, rope.rotary_dim);
  for (std::size_t i = 0; i < period.size(); ++i) {
    const float ramp = std::clamp(
        (static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low), 0.0f,
        1.0f);
    const float keep = 1 - ramp;
    const float stretched = 1.0f / (static_cast<float>(factor) * period[i]);
    rope.inv_freq[i] = stretched * (1 - keep) + 1.0f / period[i] * keep;
  }
}

/// 1 / (factor_i theta^(2i / dim)), the factors being those of `key`.
Frequencies divided(const ConfigFields& fields, const char* key, const Frequencies& period) {
  const Json* factors = fields.find(key);
  if (factors == nullptr || !factors->is_array() || factors->size() != period.size()) {
    throw Error(GRAFT_E_INVALID, cat(fields.who(), ": rope_type \"longrope\" needs \"", key,
                                     "\", a list of ", period.size(), " numbers."));
  }
  Frequencies result;
  for (std::size_t i = 0; i < period.size(); ++i) {
    const Json& factor = (*factors)[i];
    if (!factor.is_number() || !(factor.get<double>() > 0)) {
      fields.wrong(key, factor, "a list of numbers above 0");
    }
    result.push_back(1.0f / (factor.get<float>() * period[i]));
  }
  return result;
}

void longrope(const ConfigFields& fields, std::int64_t max_positions, Rope& rope) {
  const double length = original_length(fields, max_positions);
  const Frequencies period = periods(rope.theta, rope.rotary_dim);
  rope.inv_freq = divided(fields, "short_factor", period);
  rope.long_inv_freq = divided(fields, "long_factor", period);
  rope.original_length = static_cast<std::int64_t>(length);
  const double factor = fields.has("factor") ? required(fields, "factor")
                                             : static_cast<double>(max_positions) / length;
  const double scaling = factor <= 1 ? 1.0 : std::sqrt(1 + std::log(factor) / std::log(length));
  rope.attention_scaling = static_cast<float>(fields.number("attention_factor").value_or(scaling));
}

}  // namespace

Rope rope_from_parameters(const Json& parameters, std::int64_t head_dim, std::int64_t max_positions,
                          std::string_view who) {
  const ConfigFields fields(parameters, who);
  Rope rope;
  rope.parameters = parameters;
  const double part = fields.number("partial_rotary_factor").value_or(1);
  rope.rotary_dim = static_cast<std::int64_t>(static_cast<double>(head_dim) * part);
  if (!(part > 0 && part <= 1) || rope.rotary_dim < 2 || rope.rotary_dim % 2 != 0) {
    throw Error(GRAFT_E_INVALID,
                cat(who, ": of the ", head_dim, " elements of a head (\"head_dim\") ", part,
                    " parts turn (\"partial_rotary_factor\"), but it must be an even number."));
  }
  const std::int64_t rotary_dim = rope.rotary_dim;
  rope.theta = fields.number("rope_theta").value_or(10000);
  rope.type =
      fields.has("rope_type") ? *fields.text("rope_type") : fields.text("type").value_or("default");
  if (!(rope.theta > 1)) {
    throw Error(GRAFT_E_INVALID, cat(who, ": \"rope_theta\" is ", rope.theta, ", not above 1."));
  }
  rope.inv_freq = periods(rope.theta, rotary_dim);
  for (float& frequency : rope.inv_freq) frequency = 1.0f / frequency;
  if (rope.type == "default") return rope;
  if (rope.type == "linear") {
    const auto factor = static_cast<float>(required(fields, "factor"));
    for (float& frequency : rope.inv_freq) frequency /= factor;
  } else if (rope.type == "llama3") {
    llama3(fields, max_positions, rope.inv_freq);
  } else if (rope.type == "yarn") {
    yarn(fields, max_positions, rope);
  } else if (rope.type == "longrope") {
    longrope(fields, max_positions, rope);
  } else {
    throw Error(GRAFT_UNSUPPORTED, cat(who, ": rope_type \"", rope.type,
                                       "\" is not supported. Supported: default, linear, llama3, "
                                       "yarn, longrope."));
  }
  for (const Frequencies* frequencies : {&rope.inv_freq, &rope.long_inv_freq}) {
    for (const float frequency : *frequencies) {
      if (std::isfinite(frequency)) continue;
      throw Error(GRAFT_E_INVALID, cat(who, ": the rope settings give infinite frequencies."));
    }
  }
  return rope;
}

}  // namespace graft::core
