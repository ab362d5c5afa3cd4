// intar_rational.h: rational functions evaluated directly (docs/numerics.md): two Horner chains in integers of 25 bits, the
// reciprocal of the denominator on 256 straight pieces, one product.  A group's coefficients are 11 numbers.
#ifndef INTAR_RATIONAL_H
#define INTAR_RATIONAL_H

#include "intar_types.h"

namespace intar {

// First group of the function in the lanes' memory, its groups, zero point and left shift of the input, bits after the point of
// the numerator, zero point of the result, clamp.
struct rational_info {
  int32_t first, groups, zero, lift, fraction, out_zero, lo, hi;
};

constexpr int RATIONAL_WORDS = 11;  // numerator from the constant term on, denominator from the linear one on, shifts

struct reciprocal_piece {
  int32_t value, fall;
};

// 2^19 / (1 + i / 256), in the middle between the curve and its chords, and the fall to the end of the piece.
static const reciprocal_piece RECIPROCALS[256] = {
    {524287, 2040}, {522247, 2024}, {520223, 2009}, {518214, 1993}, {516221, 1978}, {514243, 1963},
    {512280, 1948}, {510333, 1933}, {508400, 1918}, {506481, 1904}, {504577, 1890}, {502687, 1876},
    {500812, 1862}, {498950, 1848}, {497102, 1834}, {495268, 1821}, {493447, 1808}, {491639, 1794},
    {489845, 1781}, {488064, 1768}, {486295, 1756}, {484540, 1743}, {482797, 1730}, {481066, 1718},
    {479348, 1706}, {477642, 1694}, {475949, 1682}, {474267, 1670}, {472597, 1658}, {470939, 1647},
    {469292, 1635}, {467657, 1624}, {466033, 1613}, {464421, 1601}, {462819, 1590}, {461229, 1580},
    {459649, 1569}, {458080, 1558}, {456522, 1548}, {454975, 1537}, {453438, 1527}, {451911, 1516},
    {450394, 1506}, {448888, 1496}, {447392, 1486}, {445905, 1477}, {444429, 1467}, {442962, 1457},
    {441505, 1448}, {440058, 1438}, {438619, 1429}, {437191, 1419}, {435771, 1410}, {434361, 1401},
    {432960, 1392}, {431568, 1383}, {430184, 1374}, {428810, 1366}, {427444, 1357}, {426087, 1348},
    {424739, 1340}, {423399, 1331}, {422068, 1323}, {420745, 1315}, {419430, 1307}, {418123, 1299},
    {416825, 1290}, {415534, 1283}, {414252, 1275}, {412977, 1267}, {411710, 1259}, {410451, 1251},
    {409200, 1244}, {407956, 1236}, {406720, 1229}, {405491, 1221}, {404270, 1214}, {403056, 1207},
    {401849, 1200}, {400649, 1192}, {399457, 1185}, {398272, 1178}, {397093, 1171}, {395922, 1164},
    {394758, 1158}, {393600, 1151}, {392449, 1144}, {391305, 1138}, {390167, 1131}, {389036, 1124},
    {387912, 1118}, {386794, 1111}, {385683, 1105}, {384578, 1099}, {383479, 1093}, {382386, 1086},
    {381300, 1080}, {380220, 1074}, {379146, 1068}, {378078, 1062}, {377016, 1056}, {375960, 1050},
    {374909, 1044}, {373865, 1039}, {372827, 1033}, {371794, 1027}, {370767, 1021}, {369745, 1016},
    {368730, 1010}, {367719, 1005}, {366715, 999}, {365716, 994}, {364722, 988}, {363733, 983},
    {362750, 978}, {361773, 973}, {360800, 967}, {359833, 962}, {358871, 957}, {357914, 952},
    {356962, 947}, {356015, 942}, {355073, 937}, {354136, 932}, {353204, 927}, {352277, 922},
    {351355, 917}, {350438, 913}, {349525, 908}, {348617, 903}, {347714, 898}, {346816, 894},
    {345922, 889}, {345032, 885}, {344148, 880}, {343268, 876}, {342392, 871}, {341521, 867},
    {340654, 862}, {339791, 858}, {338933, 854}, {338080, 849}, {337230, 845}, {336385, 841},
    {335544, 837}, {334707, 833}, {333875, 828}, {333046, 824}, {332222, 820}, {331402, 816},
    {330585, 812}, {329773, 808}, {328965, 804}, {328160, 800}, {327360, 796}, {326564, 793},
    {325771, 789}, {324982, 785}, {324197, 781}, {323416, 777}, {322639, 774}, {321865, 770},
    {321095, 766}, {320328, 763}, {319566, 759}, {318807, 755}, {318051, 752}, {317299, 748},
    {316551, 745}, {315806, 741}, {315065, 738}, {314327, 734}, {313593, 731}, {312862, 728},
    {312134, 724}, {311410, 721}, {310689, 718}, {309971, 714}, {309257, 711}, {308546, 708},
    {307839, 704}, {307134, 701}, {306433, 698}, {305735, 695}, {305040, 692}, {304348, 689},
    {303660, 685}, {302974, 682}, {302292, 679}, {301613, 676}, {300936, 673}, {300263, 670},
    {299593, 667}, {298926, 664}, {298261, 661}, {297600, 658}, {296942, 656}, {296286, 653},
    {295634, 650}, {294984, 647}, {294337, 644}, {293693, 641}, {293052, 638}, {292413, 636},
    {291777, 633}, {291145, 630}, {290514, 627}, {289887, 625}, {289262, 622}, {288640, 619},
    {288021, 617}, {287404, 614}, {286790, 611}, {286178, 609}, {285569, 606}, {284963, 604},
    {284359, 601}, {283758, 599}, {283160, 596}, {282563, 594}, {281970, 591}, {281379, 589},
    {280790, 586}, {280204, 584}, {279620, 581}, {279039, 579}, {278460, 577}, {277883, 574},
    {277309, 572}, {276737, 569}, {276168, 567}, {275601, 565}, {275036, 562}, {274474, 560},
    {273914, 558}, {273356, 556}, {272800, 553}, {272247, 551}, {271696, 549}, {271147, 547},
    {270600, 544}, {270056, 542}, {269513, 540}, {268973, 538}, {268435, 536}, {267900, 534},
    {267366, 532}, {266834, 529}, {266305, 527}, {265778, 525}, {265252, 523}, {264729, 521},
    {264208, 519}, {263689, 517}, {263172, 515}, {262657, 513}};

// h v + coefficient, with 16 bits after the point of v.
inline int32_t horner(int32_t h, int32_t v, int32_t coefficient) {
#pragma HLS INLINE
  const int64_t added = static_cast<int64_t>(coefficient) * 65536 + 32768;
  return static_cast<int32_t>((static_cast<int64_t>(h) * v + added) >> 16);
}

inline int32_t apply_rational(const rational_info& info, const int32_t (&c)[RATIONAL_WORDS], int32_t t, bool relu,
                              int32_t& saturated) {
#pragma HLS INLINE
  const int32_t v = (t - info.zero) * (1 << info.lift);
  const int32_t size = (v < 0) ? -v : v;
  const int32_t h1 = horner(horner(horner(horner(c[5], v, c[4]), v, c[3]), v, c[2]), v, c[1]);
  const int32_t g1 = horner(horner(horner(c[9], size, c[8]), size, c[7]), size, c[6]);
  const int64_t above = ((static_cast<int64_t>(h1) * v) >> (c[10] & 31)) + c[0];
  const int64_t below = ((static_cast<int64_t>(g1) * size) >> ((c[10] >> 8) & 31)) + (1 << 20);
  int down = 0;
LEADING:
  for (int i = 1; i < 16; ++i) {
#pragma HLS UNROLL
    if ((below >> (20 + i)) != 0) down = i;
  }
  const int64_t shifted_above = above >> down;
  const int32_t limit = 1 << 24;
  const int32_t p = (shifted_above < -limit) ? -limit : (shifted_above >= limit) ? limit - 1 : static_cast<int32_t>(shifted_above);
  const int32_t m = static_cast<int32_t>(below >> down);
  const reciprocal_piece piece = RECIPROCALS[(m >> 12) & 255];
  const int32_t reciprocal = piece.value - ((piece.fall * (m & 4095)) >> 12);
  const int shift = info.fraction + 19;
  const int64_t half = static_cast<int64_t>(1) << (shift - 1);
  const int64_t value = (static_cast<int64_t>(p) * reciprocal + half) >> shift;
  return clamp(value + info.out_zero, info.lo, info.hi, relu, saturated);
}

// Fill one function of every copy: a beat a cycle, a group's numbers from the first lane on.
template <int LANES, int RATE, int GROUPS, typename PARAMS>
inline void load_rational(int32_t (&memory)[RATE][GROUPS][RATIONAL_WORDS], const rational_info& info, PARAMS& params) {
#pragma HLS INLINE
  constexpr int BEATS = (RATIONAL_WORDS + LANES - 1) / LANES;
  int group = info.first;
  int part = 0;
LOAD:
  for (int n = 0; n < info.groups * BEATS; ++n) {
#pragma HLS LOOP_TRIPCOUNT min=1 max=4096
#pragma HLS PIPELINE II=1 style=flp
    const beat<LANES, 32> taken = params.read();
  COPY:
    for (int c = 0; c < RATE; ++c) {
#pragma HLS UNROLL
    WORD:
      for (int w = 0; w < RATIONAL_WORDS; ++w) {
#pragma HLS UNROLL
        if (part == w / LANES) memory[c][group][w] = taken[w % LANES];
      }
    }
    group += (part == BEATS - 1) ? 1 : 0;
    part = (part == BEATS - 1) ? 0 : part + 1;
  }
}

}  // namespace intar

#endif
