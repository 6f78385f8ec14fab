// The optimizer plugins over the flat memory, against loops in double written from torch's docs.
#include "core/optim/optimizer.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "core/tensor/dtype.hpp"
#include "tests/unit/optim/bench.hpp"

namespace graft::core {
namespace {

/// Three parameters, the second without weight decay; gaps between them.
struct Bench : test::Bench {
  explicit Bench(const char* optimizer, const Json& options, std::uint32_t dtype = GRAFT_F64)
      : test::Bench(optimizer, options,
                    {{"a.lora_A.weight", {3, 5}}, {"b.bias", {7}}, {"c.lora_B.weight", {2, 9}}},
                    {true, false, true}, dtype) {}
};

double start(std::size_t i, std::size_t k) {
  return std::sin(static_cast<double>(3 * i + k) + 0.5);
}
double slope(std::size_t i, std::size_t k, int step) {
  return std::cos(static_cast<double>(5 * i + k) * 0.7 + step);
}

/// Runs `steps` steps and calls expected(i, k) for what each element should be.
template <class Rule>
void expect_steps(Bench& bench, int steps, double clip, const Rule& rule) {
  std::vector<std::vector<double>> wanted(3);
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t k = 0; k < bench.size(i); ++k) {
      wanted[i].push_back(start(i, k));
      bench.value(i, k) = start(i, k);
    }
  }
  for (int step = 1; step <= steps; ++step) {
    const double lr = 0.1 / step;
    bench.optimizer().zero_gradients();
    double squares = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      for (std::size_t k = 0; k < bench.size(i); ++k) {
        EXPECT_EQ(bench.gradient(i, k), 0.0);
        bench.gradient(i, k) = slope(i, k, step);
        squares += slope(i, k, step) * slope(i, k, step);
      }
    }
    const double norm = std::sqrt(squares);
    const StepResult result = bench.optimizer().step(step, lr, clip);
    EXPECT_NEAR(result.grad_norm, norm, 1e-12);
    const double factor = clip > 0 ? std::min(1.0, clip / (norm + 1e-6)) : 1;
    for (std::size_t i = 0; i < 3; ++i) {
      for (std::size_t k = 0; k < wanted[i].size(); ++k) {
        rule(wanted[i][k], factor * slope(i, k, step), lr, i, k, step);
        EXPECT_NEAR(bench.value(i, k), wanted[i][k], 1e-12)
            << "step " << step << ", parameter " << i << " [" << k << "]";
      }
    }
  }
}

TEST(Optimizer, AdamWIsTheLoopOfThePaper) {
  for (const double clip : {0.0, 0.5, 1000.0}) {
    Bench bench("adamw", {{"betas", {0.8, 0.95}}, {"eps", 1e-3}, {"weight_decay", 0.2}});
    std::vector<std::vector<double>> m(3, std::vector<double>(32)), v = m;
    expect_steps(bench, 4, clip,
                 [&](double& p, double g, double lr, std::size_t i, std::size_t k, int t) {
                   if (i != 1) p -= lr * 0.2 * p;
                   m[i][k] = 0.8 * m[i][k] + (1 - 0.8) * g;
                   v[i][k] = 0.95 * v[i][k] + (1 - 0.95) * g * g;
                   const double m_hat = m[i][k] / (1 - std::pow(0.8, t));
                   const double v_hat = v[i][k] / (1 - std::pow(0.95, t));
                   p -= lr * m_hat / (std::sqrt(v_hat) + 1e-3);
                 });
  }
}

// torch.optim.SGD: the first step's buffer is the gradient itself.
TEST(Optimizer, SgdIsTorchs) {
  struct Choice {
    double momentum, dampening;
    bool nesterov;
  };
  for (const Choice c : {Choice{0, 0, false}, Choice{0.9, 0, false}, Choice{0.9, 0.3, false},
                         Choice{0.9, 0, true}}) {
    Bench bench("sgd", {{"momentum", c.momentum},
                        {"dampening", c.dampening},
                        {"nesterov", c.nesterov},
                        {"weight_decay", 0.2}});
    std::vector<std::vector<double>> buffer(3, std::vector<double>(32));
    expect_steps(bench, 4, 0,
                 [&](double& p, double g, double lr, std::size_t i, std::size_t k, int t) {
                   if (i != 1) g += 0.2 * p;
                   double& b = buffer[i][k];
                   b = t == 1 ? g : c.momentum * b + (1 - c.dampening) * g;
                   const double d = c.momentum == 0 ? g : c.nesterov ? g + c.momentum * b : b;
                   p -= lr * d;
                 });
  }
}

TEST(Optimizer, TakesMemoryForTheStatesThatItUses) {
  EXPECT_EQ(Bench("sgd", Json::object()).optimizer().states().size(), 0u);
  EXPECT_EQ(Bench("sgd", {{"momentum", 0.9}}).optimizer().states().size(), 1u);
  EXPECT_EQ(Bench("adamw", Json::object()).optimizer().states().size(), 2u);
}

TEST(Optimizer, ANormThatIsNoNumberChangesNothing) {
  Bench bench("adamw", Json::object());
  bench.value(0, 0) = 0.25;
  bench.gradient(0, 1) = std::nan("");
  EXPECT_FALSE(std::isfinite(bench.optimizer().step(1, 0.1, 1).grad_norm));
  EXPECT_EQ(bench.value(0, 0), 0.25);
}

TEST(Optimizer, CastsTheComputeCopiesAfterAStep) {
  Bench bench("adamw", Json::object(), GRAFT_BF16);
  auto* master = static_cast<float*>(bench.memory().master_at(bench.layout().offset[2]));
  auto* gradient = static_cast<float*>(bench.memory().gradient_at(bench.layout().offset[2]));
  master[3] = 1.00390625f;  // between two numbers of bf16
  gradient[3] = 2;
  bench.optimizer().step(1, 0.5, 0);
  float copy = 0;
  convert(GRAFT_F32, &copy, GRAFT_BF16, bench.memory().compute_at(bench.layout().offset[2] + 3), 1);
  EXPECT_NEAR(master[3], 1.00390625 * (1 - 0.5 * 0.01) - 0.5, 1e-6);
  EXPECT_NEAR(copy, master[3], 2e-3);
  EXPECT_NE(copy, 0.0f);
}

TEST(ParameterLayout, PutsTrainedOnesFirstGroupByGroup) {
  std::vector<Parameter> parameters;
  for (const std::int64_t n : {5, 17, 3, 40}) {
    Parameter p;
    p.name = "p";
    p.dims = {n};
    parameters.push_back(std::move(p));
  }
  parameters[0].flags = GRAFT_PARAM_FROZEN;
  const ParameterLayout layout = lay_out(parameters, {true, false, true, true});
  EXPECT_EQ(layout.offset, (std::vector<std::int64_t>{96, 64, 0, 16}));
  EXPECT_EQ(layout.trained, 96);
  EXPECT_EQ(layout.total, 112);
  ASSERT_EQ(layout.groups.size(), 2u);
  EXPECT_TRUE(layout.groups[0].decays);
  EXPECT_EQ(layout.groups[0].members, (std::vector<std::size_t>{2, 3}));
  EXPECT_EQ(layout.groups[0].count, 64);
  EXPECT_EQ(layout.groups[1].begin, 64);
  EXPECT_EQ(layout.groups[1].count, 32);
}

}  // namespace
}  // namespace graft::core
