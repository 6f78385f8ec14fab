// The derivative that gradients are held to.
#pragma once

namespace graft::core::test {

/// (f(x + h) - f(x - h)) / 2h by the value `x`, which `f` reads; it stays as it was.
template <class F>
double central_difference(double& x, F f) {
  const double h = 1e-5, before = x;
  x = before + h;
  const double above = f();
  x = before - h;
  const double below = f();
  x = before;
  return (above - below) / (2 * h);
}

}  // namespace graft::core::test
